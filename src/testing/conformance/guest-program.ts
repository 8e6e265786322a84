import type { ExecJob } from '../../exec/exec-job.js'
import type { JobOptions } from '../../job/job-options.js'
import type { ExecOptions } from '../../model/exec.js'
import type { Vm } from '../../vm.js'
import { OutputReader } from './output-reader.js'

/** Options of a program whose output is text. */
export type TextProgramOptions = Omit<ExecOptions<string>, 'encoding' | 'check'> & JobOptions

/** A program of the guest that has begun, the id of its process there, and its standard output after that. */
export interface BegunProgram {
  readonly job: ExecJob
  readonly pid: number
  readonly output: OutputReader
}

/** Starts a script of the guest's shell, and waits until it runs. By default it runs until it is ended. */
export async function beginProgram(
  vm: Vm,
  script = 'exec sleep 600',
  options?: TextProgramOptions,
): Promise<BegunProgram> {
  const job = vm.guest.exec(['sh', '-c', `echo "$$"; ${script}`], options)
  const output = new OutputReader(job.stdout)
  const [, pid] = await output.until(/(\d+)\r?\n/)
  return { job, pid: Number(pid), output }
}

/** The processes of the guest that run. One that has ended may stay as a zombie. */
export async function runningOf(vm: Vm, pids: readonly number[]): Promise<number[]> {
  const script =
    'for pid in "$@"; do kill -0 "$pid" 2>/dev/null && ! grep -q "^State:.*zombie" "/proc/$pid/status" 2>/dev/null && echo "$pid"; done; true'
  const { stdout } = await vm.guest.exec(['sh', '-c', script, 'sh', ...pids.map(String)]).unwrap()
  return stdout.split('\n').filter(Boolean).map(Number)
}
