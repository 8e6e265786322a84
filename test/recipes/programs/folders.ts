// folders.ts
// npx tsx folders.ts qmp:///srv/vms debian in ./project /srv/project
// npx tsx folders.ts qmp:///srv/vms debian out /srv/project ./results
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connect, type Vm } from 'awaitvm'

const run = promisify(execFile)
const guestArchive = '/tmp/awaitvm-folder.tar'

/** Copies a folder of this machine into the guest; `to` is made if it is missing. */
export async function copyFolderIn(vm: Vm, from: string, to: string): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const archive = join(folder, 'folder.tar')
    await run('tar', ['-C', from, '-cf', archive, '.'])
    await vm.guest.copyIn(archive, guestArchive).unwrap()
  })
  await runInGuest(vm, ['mkdir', '-p', to])
  await runInGuest(vm, ['tar', '-C', to, '-xf', guestArchive])
  await runInGuest(vm, ['rm', guestArchive])
}

/** Copies a folder of the guest to this machine; `to` is made, and must not be there yet. */
export async function copyFolderOut(vm: Vm, from: string, to: string): Promise<void> {
  await runInGuest(vm, ['tar', '-C', from, '-cf', guestArchive, '.'])
  await withTemporaryFolder(async (folder) => {
    const archive = join(folder, 'folder.tar')
    await vm.guest.copyOut(guestArchive, archive).unwrap()
    // A new folder, and none of the guest's owners and permissions: the archive is untrusted.
    await mkdir(to)
    await run('tar', ['-C', to, '-xf', archive, '--no-same-owner', '--no-same-permissions'])
  })
  await runInGuest(vm, ['rm', guestArchive])
}

async function runInGuest(vm: Vm, argv: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await vm.guest.exec(argv).unwrap()
  if (exitCode !== 0) throw new Error(`${argv.join(' ')} failed in ${vm.name}: ${Buffer.from(stderr).toString()}`)
}

async function withTemporaryFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'folders-'))
  try {
    await work(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

if (process.argv[1] === import.meta.filename) {
  const [, , uri = '', name = '', direction = '', from = '', to = ''] = process.argv
  await using server = await connect(uri).unwrap()
  const vm = await server.getVm(name).unwrap()
  await (direction === 'in' ? copyFolderIn : copyFolderOut)(vm, from, to)
}
