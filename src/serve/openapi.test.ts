/** The document of the interface, held against the schema of OpenAPI itself. */
import { Validator } from '@seriousme/openapi-schema-validator';
import { expect, test } from 'vitest';
import { openApi } from './openapi.ts';

test('the document is OpenAPI 3.1, and every reference in it leads somewhere', async () => {
  const validator = new Validator();
  const document = structuredClone(openApi()) as unknown as Record<string, unknown>;
  const { valid, errors } = await validator.validate(document);
  expect(errors).toBeUndefined();
  expect([valid, validator.version]).toEqual([true, '3.1']);
  expect(() => validator.resolveRefs()).not.toThrow();
});

test('what is wrong in it would be found', async () => {
  const document = structuredClone(openApi()) as unknown as { paths: Record<string, unknown> };
  document.paths['/api/v1/report'] = { get: { responses: { 200: { description: 1 } } } };
  expect(await new Validator().validate(document)).toMatchObject({ valid: false });
});
