import type { ClientChannel } from 'ssh2'
import { stopScript } from '../guest/stop-scripts.js'
import { shell } from '../guest/wrapped-program.js'
import type { GuestConnection } from './guest-connection.js'
import { quoteWords } from './quote.js'

/*
 * Reads which programs run: `+ID`, and `-ID` once one has ended. Its input ends with the connection. Then it kills those that still
 * run, with all that they started. It looks again later, since a program that is just being started has its mark a moment later.
 * $1 is the script that stops a program.
 */
const guardScript = `exec >/dev/null 2>&1
running=" "
while read -r line; do
  id=\${line#?}
  case $line in
    +*) running="$running$id " ;;
    -*) case $running in *" $id "*) running="\${running%%" $id "*} \${running#*" $id "}" ;; esac ;;
  esac
done
[ "$running" != " " ] || exit
for pause in 0 1 4; do
  sleep "$pause"
  for id in $running; do ${shell} -c "$1" sh "" "$id" "" ""; done
done`

/** Its name among the processes of the guest. */
const guardName = 'awaitvm-guard'

/**
 * A shell in the guest that ends the programs of a connection with it, also if this process is killed: sshd only closes the outputs of
 * programs, which those that print nothing don't notice.
 */
export class Guard {
  readonly #channel: ClientChannel

  private constructor(channel: ClientChannel) {
    this.#channel = channel
  }

  /** Starts it. The connection is closed if it ends before. */
  static start(connection: GuestConnection): Promise<Guard> {
    const command = `exec ${quoteWords([shell, '-c', guardScript, guardName, stopScript])}`
    return connection.exec(command, undefined, (channel) => {
      channel.resume().stderr.resume()
      channel.once('close', () => {
        connection.close('the shell in its guest that looks after the programs has ended')
      })
      return new Guard(channel)
    })
  }

  /** A program with the mark `AWAITVM_PROGRAM=ID` is about to be run. */
  watch(id: string): void {
    this.#tell(`+${id}\n`)
  }

  /** A program has ended, and what it has left in the background may stay. */
  leave(id: string): void {
    this.#tell(`-${id}\n`)
  }

  /** The guard of a connection that was lost needs no line: it ends all programs. */
  #tell(line: string): void {
    if (this.#channel.writable) this.#channel.write(line)
  }
}
