import { err, ok } from 'neverthrow'
import { callDriver, type DriverConnection } from './driver-call.js'
import { InvalidArgumentError } from './errors.js'
import { validate } from './errors/validate.js'
import type { Job } from './job/job.js'
import type { DiskFileFormat } from './model/disk-file-format.js'
import { nonEmpty } from './model/schema.js'
import { pathSchema } from './model/schema.js'
import type { ExportDiskErrors } from './operation-errors.js'
import type { JobTarget } from './operations.js'
import { readExportDiskOptions, type ExportDiskOptions } from './vm-arguments.js'

const compressible: ReadonlySet<DiskFileFormat> = new Set(['qcow2', 'vmdk'])

/** `vm.exportDisk()`. */
export function exportDisk(
  connection: DriverConnection,
  target: JobTarget,
  to: { readonly diskId: string; readonly path: string },
  options: ExportDiskOptions | undefined,
): Job<void, ExportDiskErrors> {
  const { own, job } = readExportDiskOptions(options)
  const input = validate(nonEmpty, to.diskId, 'diskId').andThen((disk) =>
    validate(pathSchema, to.path, 'path').andThen((path) =>
      own.andThen(({ format = 'raw', compress = false }) =>
        compress && !compressible.has(format)
          ? err(needsOtherFormat(format))
          : ok({ vm: target.id, disk, path, format, compress }),
      ),
    ),
  )
  return callDriver(connection, {
    method: 'vm.exportDisk',
    operation: 'vm.exportDisk',
    target,
    input: input.isOk() ? input.value : input.error,
    needs: input.isOk() && input.value.format !== 'raw' ? ['vm.exportDisk.formats'] : [],
    options: job,
    map: () => undefined,
  })
}

const needsOtherFormat = (format: DiskFileFormat): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'options.compress',
    reason: `options.compress needs options.format to be "qcow2" or "vmdk", and it is ${JSON.stringify(format)}`,
    hint: 'Name another format, or compress the file with a program of your own.',
  })
