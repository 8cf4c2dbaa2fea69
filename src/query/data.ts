/** What whoever asks needs of the store: opening a data folder for reading, and the shapes of answers. */
export type { Answer, QueryFailure } from '../store/database.ts';
export { readStore, type StoreReader } from '../store/reader.ts';
