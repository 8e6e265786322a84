import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { vi } from 'vitest'

/** The real qemu-img behind a script that notes its calls, and may hold those of one command up. */
export class GatedQemuImg {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** Puts the script before the real program on the PATH of this process, until the environment is unstubbed. */
  static install(parent: string): GatedQemuImg {
    const folder = join(parent, 'bin')
    mkdirSync(folder)
    const { PATH = '' } = process.env
    const real = execFileSync('sh', ['-c', 'command -v qemu-img'], { encoding: 'utf8' }).trim()
    const lines = [
      '#!/bin/sh',
      `cd '${folder}'`,
      'held=$(cat held 2>/dev/null)',
      '[ "$1" = "$held" ] && mkfifo hold-$$',
      'echo "$1 $$" >> calls',
      '[ "$1" = "$held" ] && read -r _ < hold-$$',
      `cd "$OLDPWD" && exec ${real} "$@"`,
    ]
    const file = join(folder, 'qemu-img')
    writeFileSync(file, lines.join('\n'))
    chmodSync(file, 0o755)
    vi.stubEnv('PATH', `${folder}${delimiter}${PATH}`)
    return new GatedQemuImg(folder)
  }

  /** Holds up the calls of a command from now on; `undefined`: no more. */
  hold(command: string | undefined): void {
    writeFileSync(join(this.#folder, 'held'), command ?? 'none')
  }

  /** The processes of the calls of a command so far. */
  calls(command: string): number[] {
    const log = join(this.#folder, 'calls')
    const lines = existsSync(log) ? readFileSync(log, 'utf8').split('\n') : []
    return lines.filter((line) => line.startsWith(`${command} `)).map((line) => Number(line.split(' ')[1]))
  }

  /** Waits for the call of that number. Answers its process. */
  async called(command: string, times: number): Promise<number> {
    for (;;) {
      const pid = this.calls(command)[times - 1]
      if (pid !== undefined) return pid
      await delay(20)
    }
  }

  /** Lets a call go on that is held up. */
  async letThrough(pid: number): Promise<void> {
    // Opened once the script reads from it.
    await using gate = await open(join(this.#folder, `hold-${pid}`), 'w')
    await gate.write('go\n')
  }
}
