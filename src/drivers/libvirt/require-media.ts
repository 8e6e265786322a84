import { checkFile } from '../../files/check-file.js'
import { InvalidArgumentError } from '../../errors.js'
import { kernelProblem } from '../../images/kernel-image.js'
import type { VmChanges } from '../../model/vm-spec.js'
import type { LibvirtAddress } from './libvirt-uri.js'

/**
 * Throws if a file that is given by its path on the host is not there. On another machine, libvirt itself finds that at the start of
 * the VM.
 */
export async function requireMedia(
  { cdroms = [], floppies = [], boot = {} }: VmChanges,
  { transport }: LibvirtAddress,
  root: string,
): Promise<void> {
  if (transport !== 'unix') return
  const files = [
    ...cdroms.map(({ image }, index) => ({ path: `cdroms[${String(index)}].image`, file: image })),
    ...floppies.map(({ image }, index) => ({ path: `floppies[${String(index)}].image`, file: image })),
    { path: 'boot.kernel', file: boot.kernel },
    { path: 'boot.initrd', file: boot.initrd },
  ]
  for (const { path, file } of files) {
    if (file !== undefined) await checkFile(file, `${root}.${path}`, 'libvirt')
  }
  const problem = boot.kernel === undefined ? undefined : await kernelProblem(boot.kernel, 'x86_64')
  if (problem === undefined) return
  throw new InvalidArgumentError({
    path: `${root}.boot.kernel`,
    reason: `${root}.boot.kernel can't be booted: ${JSON.stringify(boot.kernel)} ${problem}`,
  })
}
