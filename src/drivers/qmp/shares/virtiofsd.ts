import { InvalidArgumentError, NotSupportedError } from '../../../errors.js'
import type { KeptShare } from '../../../model/share.js'
import { companionFiles } from '../process/companion-files.js'
import type { CompanionPlan } from '../process/companion.js'
import { findProgram } from '../process/qemu-tools.js'

/** Where packages have it: Debian and Ubuntu with QEMU up to 7.2, and Arch; Fedora, and Debian and Ubuntu with later ones. */
const folders = ['/usr/lib/qemu', '/usr/libexec', '/usr/lib']

const findVirtiofsd = (): string =>
  findProgram({
    name: 'virtiofsd',
    packages: 'qemu-system-common on Debian 12, virtiofsd on later ones and on Ubuntu, Fedora and Arch',
    folders,
  })

/** Throws if a share can't be had by virtiofs. */
export function requireVirtiofs({ path, readOnly }: KeptShare, parameter: string): void {
  if (readOnly) {
    throw new NotSupportedError({
      capability: 'spec.shares.readOnly',
      path: `${parameter}.readOnly`,
      reason: `${parameter}.readOnly is not supported by virtiofs: the virtiofsd of QEMU 7.2 lets every guest write`,
      hint: "Use type: '9p', by which the host refuses to write.",
    })
  }
  // They separate its options.
  if (/[,=\\]/.test(path)) {
    throw new InvalidArgumentError({
      path: `${parameter}.path`,
      reason: `the folder to share, ${path}, has a comma, a "=" or a "\\" in its real path, which virtiofsd does not take`,
      hint: "Use type: '9p', or another folder.",
    })
  }
  findVirtiofsd()
}

/** The name of the virtiofsd of a share. virtiofsd locks one file for all sockets of a name, whatever their folders: so it has the VM's id. */
export const virtiofsdName = (vm: string, { tag }: KeptShare): string => `share-${tag}-${vm}`

/** What serves the shares of a VM by virtiofs: one virtiofsd for each. Options in this form are known to that of QEMU and to its successor. */
export function virtiofsdsOf(vm: string, shares: readonly KeptShare[]): CompanionPlan[] {
  const served = shares.filter(({ type }) => type === 'virtiofs')
  if (served.length === 0) return []
  const program = findVirtiofsd()
  return served.map((share) => {
    const name = virtiofsdName(vm, share)
    const { socket, log } = companionFiles(name)
    // A guest makes no devices of the host.
    const options = `source=${share.path},modcaps=-mknod`
    return {
      name,
      commandLine: [program, '-f', `--socket-path=${socket}`, '-o', options],
      ready: { file: log, text: /Waiting for vhost-user socket connection/ },
    }
  })
}
