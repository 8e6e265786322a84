import { randomBytes } from 'node:crypto'
import { connect, type Progress, type Server, type Vm } from '../../src/index.js'
import type { SuiteOutcome } from './outcome.js'
import { Redaction } from './redaction.js'
import { removeVms } from './removal.js'
import { reportOf } from './report.js'
import { needsTemplate } from './settings.js'
import { runSuite } from './suite-run.js'

export interface CheckOptions {
  readonly uri: string
  readonly template: string | undefined
  readonly subjects: readonly string[] | undefined
  readonly awaitvm: string
  /** Ends the check when it is aborted. What the check made is removed all the same. */
  readonly signal: AbortSignal
  /** Called with each line of progress. */
  readonly say: (line: string) => void
}

export interface CheckResult {
  readonly report: string
  readonly isClean: boolean
}

/** Checks a host with VMs of its own, and removes them. Throws if it can't connect to the host. */
export async function check(options: CheckOptions): Promise<CheckResult> {
  const { signal, template } = options
  const uri = new URL(options.uri).href
  const scheme = new URL(uri).protocol.slice(0, -1)
  if (template !== undefined && !needsTemplate(scheme)) {
    throw new Error(`A template is of no use for ${scheme}:, whose guest comes with awaitvm`)
  }
  const prefix = `awaitvm-check-${randomBytes(4).toString('hex')}-`
  await using keeper = await connect(uri, { signal }).unwrap()
  if (template !== undefined && !keeper.capabilities.has('guest.exec')) {
    throw new Error(
      `A template is of no use: ${uri} runs no programs in guests, and has a guest of its own for the check`,
    )
  }
  const others = (await keeper.getVmList({ signal }).unwrap()).map(recordOf)
  const info = await keeper.getInfo({ signal }).unwrap()
  const { suite, left } = await runAndRemove(keeper, uri, prefix, options)
  const after = (await keeper.getVmList().unwrap()).filter(({ name }) => !name.startsWith(prefix)).map(recordOf)
  const redaction = new Redaction(namesIn(uri, info.hostName, prefix, [...others, ...after]))
  const report = reportOf({
    awaitvm: options.awaitvm,
    scheme,
    info,
    capabilities: keeper.capabilities,
    hasTemplate: template !== undefined,
    subjects: options.subjects,
    suite: {
      cases: suite.cases.map((one) => ({ ...one, reason: redaction.apply(one.reason) })),
      errors: suite.errors.map((error) => redaction.apply(error)),
    },
    wasInterrupted: signal.aborted,
    others: { count: others.length, areUnchanged: JSON.stringify(after) === JSON.stringify(others) },
    left: left.map((reason) => redaction.apply(reason)),
  })
  const isClean =
    left.length === 0 && suite.errors.length === 0 && suite.cases.every(({ status }) => status !== 'failed')
  return { report, isClean }
}

/** Runs the cases, and removes their VMs in any case. */
async function runAndRemove(
  keeper: Server,
  uri: string,
  prefix: string,
  options: CheckOptions,
): Promise<{ suite: SuiteOutcome; left: readonly string[] }> {
  const { template, subjects, signal, say } = options
  let suite: SuiteOutcome
  try {
    const base = template === undefined ? undefined : await makeBase(keeper, template, `${prefix}base`, options)
    suite = await runSuite({ uri, prefix, base, subjects }, signal, ({ status, title, reason }) => {
      say(`${status} ${title}${reason === '' ? '' : `: ${reason}`}`)
    })
  } catch (error) {
    await removeVms(keeper, prefix)
    throw error
  }
  say('removing what was made')
  return { suite, left: await removeVms(keeper, prefix) }
}

const recordOf = ({ id, name, state, config }: Vm): Pick<Vm, 'id' | 'name' | 'state' | 'config'> => ({
  id,
  name,
  state,
  config,
})

/** Copies the template once. The cases use clones of the copy. */
async function makeBase(keeper: Server, template: string, name: string, options: CheckOptions): Promise<string> {
  const { signal, say } = options
  const original = await keeper.getVm(template, { signal }).unwrap()
  const onProgress = ({ percent }: Progress): void => {
    say(`cloning ${template}: ${percent} %`)
  }
  await original.clone({ name, linked: false, signal, onProgress }).unwrap()
  return name
}

/** Names, with the word that replaces each in the report. */
function namesIn(
  uri: string,
  hostName: string,
  prefix: string,
  others: readonly Pick<Vm, 'name'>[],
): ReadonlyMap<string, string> {
  const { username, hostname } = new URL(uri)
  return new Map([
    ...others.map(({ name }): [string, string] => [name, 'VM']),
    [uri, 'URI'],
    [decodeURIComponent(username), 'USER'],
    [hostname, 'HOST'],
    [hostName, 'HOST'],
    [prefix, ''],
  ])
}
