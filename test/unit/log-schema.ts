import { readFileSync } from 'node:fs';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';

/** Checks a line of the header log against the published schema. */
export const validLine: ValidateFunction = new Ajv2020({ strict: true, strictTypes: false, allErrors: false }).compile(
  JSON.parse(readFileSync(new URL('../../docs/header-log.schema.json', import.meta.url), 'utf8')),
);
