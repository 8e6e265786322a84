// sandbox.ts
// npx tsx sandbox.ts qmp:///srv/vms debian first.sh second.sh
import { resolve } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { connect } from 'awaitvm'
import { interruption, withThrowAwayVm } from './throw-away-vm.js'

const [, , uri = '', template = '', ...programs] = process.argv
const signal = interruption()

/** What the program printed, cut, and without characters that could control this terminal. */
const printable = (output: string): string => stripVTControlCharacters(output).slice(0, 1000).trimEnd()

await using server = await connect(uri).unwrap()
await withThrowAwayVm(server, template, signal, async (vm) => {
  if (vm.config.networkAdapters?.some(({ outbound }) => outbound) === true) {
    throw new Error(`${template} reaches the network: edit it to have no adapter with outbound: true.`)
  }
  await vm.start({ until: 'ready', timeoutMs: 120_000, signal }).unwrap()
  const clean = await vm.createSnapshot({ name: 'clean', signal }).unwrap() // with its memory: no program boots it again

  for (const program of programs) {
    await vm.guest.copyIn(resolve(program), '/tmp/program', { signal }).unwrap()
    const limits = { timeoutMs: 10_000, maxOutputBytes: 10_000, signal }
    const result = await vm.guest.exec(['/bin/sh', '/tmp/program'], limits)
    console.log(
      program,
      result.match(
        ({ exitCode, stdout }) => `exit code ${String(exitCode)}: ${printable(stdout)}`,
        (error) => error.code, // TIMEOUT after ten seconds
      ),
    )
    // The next program finds neither files nor processes of this one.
    await vm.switchToSnapshot(clean, { signal }).unwrap()
    await vm.guest.waitUntilReady({ timeoutMs: 30_000, signal }).unwrap()
  }
})
