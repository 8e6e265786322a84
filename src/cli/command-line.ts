import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { BootConfig } from '../index.js'

/** The parsed command line. */
export type Command =
  | { readonly kind: 'tour' }
  | { readonly kind: 'help' }
  | { readonly kind: 'mistake'; readonly message: string }
  | { readonly kind: 'linux'; readonly boot: LinuxBoot; readonly memoryMiB: number | undefined }

export type LinuxBoot = BootConfig & { readonly kernel: string; readonly commandLine: string }

export const usage = `Usage: npm start
           A tour of awaitvm: virtual machines inside this process.

       npm start -- --kernel FILE [--initrd FILE] [--append TEXT] [--memory MiB]
           Boots your own Linux for 32-bit x86, with its serial console on this terminal. Ctrl-] leaves it. Input from a
           pipe is typed at the guest's first prompt:
           echo 'uname -a; poweroff -f' | npm start -- --kernel vmlinuz --initrd initrd.gz

  --kernel FILE   a bzImage, or a multiboot image
  --initrd FILE   its initial RAM disk
  --append TEXT   its command line; "console=ttyS0" if absent
  --memory MiB    its memory; 128 if absent
  -h, --help      this text
`

const options = {
  kernel: { type: 'string' },
  initrd: { type: 'string' },
  append: { type: 'string' },
  memory: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const

/** Parses the arguments; paths are relative to `directory`. */
export function parseCommandLine(args: readonly string[], directory: string): Command {
  try {
    return commandOf(parseArgs({ args: [...args], options }).values, directory)
  } catch (error) {
    return mistake(error instanceof Error ? error.message : String(error))
  }
}

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>['values']

function commandOf({ help, kernel, initrd, append, memory }: Values, directory: string): Command {
  if (help === true) return { kind: 'help' }
  if (kernel === '' || initrd === '') return mistake('--kernel and --initrd take the path of a file.')
  if (memory !== undefined && !/^[1-9]\d*$/.test(memory)) return mistake('--memory takes a whole number of MiB.')
  if (kernel === undefined) {
    const isTour = initrd === undefined && append === undefined && memory === undefined
    return isTour ? { kind: 'tour' } : mistake('--initrd, --append and --memory need a --kernel.')
  }
  return {
    kind: 'linux',
    boot: {
      kernel: resolve(directory, kernel),
      initrd: initrd === undefined ? undefined : resolve(directory, initrd),
      commandLine: append ?? 'console=ttyS0',
    },
    memoryMiB: memory === undefined ? undefined : Number(memory),
  }
}

const mistake = (message: string): Command => ({ kind: 'mistake', message })
