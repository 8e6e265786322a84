import { VmError } from '../index.js'
import { parseCommandLine, usage, type Command } from './command-line.js'
import { exitCodeOf, interruption } from './interruption.js'
import { bootLinux } from './linux.js'
import { Page } from './page.js'
import { tour } from './tour/tour.js'

process.exitCode = await run(
  parseCommandLine(process.argv.slice(2), process.env['INIT_CWD'] ?? process.cwd()),
  interruption(),
)

/** Runs the command, and returns the exit code. */
async function run(command: Command, signal: AbortSignal): Promise<number> {
  try {
    switch (command.kind) {
      case 'help':
        process.stdout.write(usage)
        return 0
      case 'mistake':
        process.stderr.write(`${command.message}\nTry: npm start -- --help\n`)
        return 2
      case 'tour':
        await tour(Page.on(process.stdout), signal)
        return 0
      case 'linux':
        return await bootLinux(command.boot, command.memoryMiB, signal)
    }
  } catch (error) {
    if (signal.aborted) {
      process.stderr.write('\nInterrupted: everything was cancelled and closed.\n')
      return exitCodeOf(signal)
    }
    if (!(error instanceof VmError)) throw error
    process.stderr.write(`${error.message}\n`)
    return 1
  }
}
