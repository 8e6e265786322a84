import { randomBytes } from 'node:crypto'
import { InvalidArgumentError } from '../errors.js'
import type { BufferedEnd } from '../driver/buffered-program.js'
import type { ProgramOptions } from '../model/exec.js'
import { shell, type AgentProgram } from './agent-program.js'

/** In base64, this is less than the longest token that the agent reads, 64 MiB (MAX_TOKEN_SIZE of json-parser). */
const maxInputMiB = 32
const mebibyte = 2 ** 20

/** Changes to the folder, and executes the program. If it can't, it prints a random mark, which no program prints. */
const script = `if [ -n "$2" ]; then cd "$2" || { printf '%s folder' "$1" >&2; exit 126; }; fi
command -v "$3" >/dev/null || { printf '%s program' "$1" >&2; exit 127; }
shift 2; exec "$@"`

/** A command of a caller, as the agent starts it. */
export interface GuestCommand {
  readonly program: AgentProgram
  /** True if the guest's shell starts it. */
  readonly isWrapped: boolean
  /** The reason why the program was not run, if the result shows one. */
  refusalIn(end: BufferedEnd): InvalidArgumentError | undefined
}

/**
 * The agent can't set a working directory, nor add variables to its environment. If a program needs either, the guest's shell
 * starts it.
 */
export function guestCommand(
  argv: readonly string[],
  { env = {}, cwd = '', input }: ProgramOptions & { readonly input?: Uint8Array | undefined },
): GuestCommand {
  const [path = '', ...args] = argv
  if (input !== undefined && input.byteLength > maxInputMiB * mebibyte) {
    throw new InvalidArgumentError({
      path: 'options.input',
      reason: `options.input has ${String(input.byteLength)} bytes, and the agent takes ${String(maxInputMiB)} MiB`,
      hint: 'Copy it in with vm.guest.copyIn().',
    })
  }
  const variables = Object.entries(env)
  if (variables.length === 0 && cwd === '') {
    return { program: { path, args, input }, isWrapped: false, refusalIn: () => undefined }
  }
  for (const [name] of variables) {
    if (!/^[^=-][^=]*$/.test(name)) {
      const reason = `options.env has the name ${JSON.stringify(name)}, which is not a name for a variable`
      throw new InvalidArgumentError({ path: `options.env.${name}`, reason })
    }
  }
  const mark = randomBytes(12).toString('hex')
  const words = [shell, '-c', script, 'sh', mark, cwd, ...argv]
  const [first = shell, ...others] =
    variables.length === 0 ? words : ['env', ...variables.map(([name, value]) => `${name}=${value}`), ...words]
  return {
    program: { path: first, args: others, input },
    isWrapped: true,
    refusalIn({ stderr }) {
      const said = Buffer.from(stderr).toString()
      if (said.endsWith(`${mark} program`)) return noProgram(path)
      if (!said.endsWith(`${mark} folder`)) return undefined
      return new InvalidArgumentError({
        path: 'options.cwd',
        reason: `the guest has no folder ${JSON.stringify(cwd)} to run a program in`,
      })
    },
  }
}

export const noProgram = (path: string, cause?: unknown): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'command[0]',
    reason: `the guest has no program ${JSON.stringify(path)}`,
    hint: 'Name one that is there, by its path or as the PATH of the agent finds it.',
    cause,
  })
