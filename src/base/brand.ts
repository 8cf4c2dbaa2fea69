declare const brand: unique symbol;

/** A type that only its own module can make: `Redacted<Exchange>` is not an Exchange that somebody forgot to redact. */
export type Brand<T, B extends string> = T & { readonly [brand]: B };
