import type { Server, SnapshotNode } from 'awaitvm'
import { createSimulatedServer } from 'awaitvm/testing'
import { listeningPort, serialGuest } from 'awaitvm/testing/conformance'
import { RealPrograms } from '../support/real-programs.js'
import { describeOwnHost } from './own-host.js'
import { guestKernel } from './guest-kernel.js'

describeOwnHost({
  name: 'simulated:',
  driver: 'simulated',
  guest: {
    ...serialGuest({
      spec: { memoryMiB: 16 },
      specWithDisk: { memoryMiB: 16, disks: [{ sizeMiB: 1 }], boot: { kernel: guestKernel } },
    }),
    listen: ['awaitvm-listen'],
  },
  specWithoutAgent: { memoryMiB: 16, boot: { kernel: guestKernel } },
  hasPaperFiles: true,
  keepsVms: true,
  onClose: 'runs-on',
  sharesRunningVms: true,
  withdrawsPowerButton: true,
  afterCrash: 'crashed',
  refusedExecOptions: ['pty'],
  async open(options) {
    const simulated = createSimulatedServer({
      clock: 'real',
      agent: ({ boot }) => boot.kernel === undefined,
      ...options,
    })
    const target = createSimulatedServer({ clock: 'real' })
    const programs = new RealPrograms()
    simulated.onExec((program) => {
      const { argv, vm } = program
      // Files that were copied in exist only in the simulated guest.
      const [name, file = ''] = argv
      const handle = simulated.vm(vm)
      if (name === 'awaitvm-listen') {
        const listening = handle.listen(listeningPort)
        program.signal.addEventListener('abort', () => {
          listening[Symbol.dispose]()
        })
        return new Promise(() => undefined)
      }
      if (name !== 'rm' || handle.readFile(file) === undefined) return programs.run(program)
      handle.removeFile(file)
      return {}
    })
    simulated.onQmp(({ command, vm }) => {
      const status = simulated.vm(vm).state
      return command === 'query-status' ? { running: status === 'running', status } : undefined
    })
    return {
      server: simulated.server,
      connectAgain: async (again) => simulated.connect(again),
      registrationPath: ({ id }) => `/simulated/${id}`,
      migrationTarget: target.uri,
      files: async () => {
        const server = simulated.connect()
        const files = await filesOf(server)
        await server.close().unwrap()
        return files
      },
      async dispose() {
        await simulated[Symbol.asyncDispose]()
        await target[Symbol.asyncDispose]()
        await programs.ended()
        return []
      },
    }
  },
})

/** The files that it would have: it keeps nothing on disk. */
async function filesOf(server: Server): Promise<string[]> {
  const files = (await server.getVmList().unwrap()).map(async (vm) => [
    vm.id,
    ...vm.config.disks.map((_disk, index) => `${vm.id}/disk-${index}`),
    ...(vm.state === 'suspended' ? [`${vm.id}/memory`] : []),
    ...snapshotsIn(await vm.getSnapshotTree().unwrap()).map((id) => `${vm.id}/${id}`),
  ])
  return (await Promise.all(files)).flat().sort()
}

const snapshotsIn = (nodes: readonly SnapshotNode[]): string[] =>
  nodes.flatMap(({ id, children }) => [id, ...snapshotsIn(children)])
