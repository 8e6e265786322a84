import { randomBytes } from 'node:crypto'
import { HostError, InvalidArgumentError } from '../../errors.js'
import { quoteWords } from '../../ssh/quote.js'
import { runScript, scriptRun, type PrlctlGuest } from './guest-program.js'

/**
 * Longest command line in bytes. With a longer one, `exec` of Parallels Desktop is known to hang, and to ignore signals; on
 * Virtuozzo, Linux limits an argument to 128 KiB (MAX_ARG_STRLEN).
 */
const maxLine = { desktop: 3800, virtuozzo: 100_000 }

/** Longest command line in bytes that is placed in the guest: some fifty pieces. */
const maxPlaced = 128 * 1024

const pieceScript = `umask 077; printf %s "$1" >"$2"`

const removeScript = `rm -f "$@"`

/** Executes the command line in the files. */
const loadScript = `line=; for file do piece=$(cat "$file" && echo .) || exit 1; line=$line\${piece%.}; done
rm -f "$@"; eval "exec $line"`

/** Answers a command line for the guest's shell that is short enough; the guest has the long one in files then, which it removes. */
export async function placeLine(guest: PrlctlGuest, line: string, signal: AbortSignal): Promise<string> {
  const limit = maxLine[guest.prlctl.flavour]
  const length = Buffer.byteLength(line)
  if (length <= limit) return line
  if (length > maxPlaced) {
    throw new InvalidArgumentError({
      path: 'command',
      reason: `command has ${String(length)} bytes with its quoting, and Parallels accepts ${String(maxPlaced)}`,
      hint: 'Pass long texts as the input, or in a file: vm.guest.writeFile().',
    })
  }
  const name = `/tmp/.awaitvm-${randomBytes(9).toString('hex')}`
  const room = limit - Buffer.byteLength(scriptRun(guest, pieceScript, ['', `${name}.00`]).commandLine)
  const files: string[] = []
  try {
    for (const piece of piecesOf(line, room)) {
      const file = `${name}.${String(files.length)}`
      files.push(file)
      const code = await runScript(guest, pieceScript, [piece, file], signal)
      if (code !== 0) throw notPlaced(file, code)
    }
  } catch (error) {
    await runScript(guest, removeScript, files).catch((failure: unknown) => {
      process.emitWarning(
        `VM ${guest.vm}: ${files.join(', ')} may be left in the guest: ${String(failure)}`,
        'AwaitvmWarning',
      )
    })
    throw error
  }
  return quoteWords(['sh', '-c', loadScript, 'sh', ...files])
}

function notPlaced(file: string, code: number | undefined): HostError {
  const message = `the guest could not write ${file}, a part of a command line that is too long for prlctl`
  return new HostError({
    reason: message,
    native: { driver: 'parallels', ...(code !== undefined && { code }), message },
  })
}

/** Cuts a text into pieces that are quoted in so many bytes. */
function* piecesOf(text: string, room: number): Generator<string, void, undefined> {
  let piece = ''
  let size = 0
  for (const character of text) {
    const length = Buffer.byteLength(character) + (character === "'" ? 3 : 0)
    if (size + length > room) {
      yield piece
      piece = ''
      size = 0
    }
    piece += character
    size += length
  }
  yield piece
}
