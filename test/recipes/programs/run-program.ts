// run-program.ts
// npx tsx run-program.ts qmp:///srv/vms debian 'apt-get update'
import { connect } from 'awaitvm'
import { interruption } from './throw-away-vm.js'

const [, , uri = '', name = '', command = ''] = process.argv
const options = { timeoutMs: 120_000, signal: interruption() }

await using server = await connect(uri).unwrap()
const vm = await server.getVm(name).unwrap()
if (vm.state === 'running') await vm.guest.waitUntilReady(options).unwrap()
else await vm.start({ until: 'ready', ...options }).unwrap()

const job = vm.guest.exec(command, { signal: options.signal })
for await (const { stream, data } of job.output()) process[stream].write(data)
const { exitCode = 1 } = await job.unwrap() // none if a signal ended it
process.exitCode = exitCode
