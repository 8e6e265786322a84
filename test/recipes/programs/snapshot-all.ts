// snapshot-all.ts
// npx tsx snapshot-all.ts qmp:///srv/vms failures.csv
import { writeFile } from 'node:fs/promises'
import { batch, connect } from 'awaitvm'

const [, , uri = '', file = 'failures.csv'] = process.argv

await using server = await connect(uri).unwrap()
const vms = await server.getVmList().unwrap()
const name = `nightly ${new Date().toISOString()}`
const job = batch(vms, (vm, { signal }) => vm.createSnapshot({ name, signal }), {
  concurrency: 4,
  retry: { attempts: 3, backoff: { initialMs: 500 } }, // of errors that are retryable
})

for await (const { percent, items } of job) {
  const bar = '#'.repeat(Math.round(percent / 5)).padEnd(20)
  process.stderr.write(`\r[${bar}] ${percent.toFixed(0).padStart(3)} %, ${String(items?.failed ?? 0)} failed`)
}
process.stderr.write('\n')

const report = await job.unwrap()
const quoted = (value: string | number): string => `"${String(value).replaceAll('"', '""')}"`
const rows = report
  .toRows()
  .filter(({ outcome }) => outcome === 'failed')
  .map(({ item, attempts, code, message }) => [item, attempts, code, message])
await writeFile(
  file,
  [['vm', 'attempts', 'code', 'message'], ...rows].map((row) => `${row.map(quoted).join(',')}\n`).join(''),
)
process.exitCode = report.isSuccess ? 0 : 1
