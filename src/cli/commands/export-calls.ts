import type { ExportFlags } from '../program.ts';
export async function exportCalls(_flags: ExportFlags): Promise<number> {
  return 0;
}
