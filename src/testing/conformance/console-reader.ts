import type { Duplex } from 'node:stream'
import { OutputReader } from './output-reader.js'

/** Reads a serial console as text, types lines, and waits for expected output. */
export class ConsoleReader extends OutputReader<Duplex> {
  /** Types a line and Enter. */
  send(line: string): void {
    this.stream.write(`${line}\r`)
  }

  /** Types a line, and waits for the answer. */
  async ask(line: string, answer: string | RegExp): Promise<RegExpExecArray> {
    this.send(line)
    return await this.until(answer)
  }
}
