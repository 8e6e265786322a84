import type { Capability, HostInfo } from '../../src/index.js'
import type { CaseOutcome, SuiteOutcome } from './outcome.js'
import { leftOut } from './own-vms-driver.js'

/** The contents of a report. */
export interface Findings {
  readonly awaitvm: string
  readonly scheme: string
  readonly info: HostInfo
  readonly capabilities: ReadonlySet<Capability>
  readonly hasTemplate: boolean
  readonly subjects: readonly string[] | undefined
  readonly suite: SuiteOutcome
  readonly wasInterrupted: boolean
  /** The VMs of others: their number, and whether they are unchanged. */
  readonly others: { readonly count: number; readonly areUnchanged: boolean }
  /** What could not be removed. */
  readonly left: readonly string[]
}

/** The report as Markdown. */
export function reportOf(findings: Findings): string {
  const { suite, left } = findings
  const failed = suite.cases.filter(({ status }) => status === 'failed')
  return [
    '# awaitvm: check of a host',
    table(summary(findings)),
    ...(suite.errors.length === 0 ? [] : ['## Errors', list(suite.errors)]),
    ...(left.length === 0 ? [] : ['## Left behind', list(left)]),
    '## Capabilities',
    table([['', '', 'cases'], ...capabilityRows(findings)]),
    ...(failed.length === 0 ? [] : ['## Failed', list(failed.map(({ title, reason }) => `${title}: ${reason}`))]),
    ...skipped(suite.cases),
  ].join('\n\n')
}

function summary(findings: Findings): string[][] {
  const { awaitvm, scheme, info, hasTemplate, subjects, suite, wasInterrupted, others } = findings
  const { license } = info
  const count = (status: CaseOutcome['status']): number => suite.cases.filter((one) => one.status === status).length
  const kind = license === undefined ? '' : `, edition ${license.edition ?? 'unknown'}, licence ${license.status}`
  return [
    ['', ''],
    ['host', `${info.hypervisor} ${info.version}${kind}`],
    ['machine', `${info.guestArchitecture}, ${info.cpus} processors, ${info.memoryMiB} MiB`],
    ['driver', `${info.driver} of awaitvm ${awaitvm}, by ${scheme}:`],
    ['client', `Node ${process.version}, ${process.platform} ${process.arch}`],
    ['template', hasTemplate ? 'one with a guest' : 'none'],
    ['subjects', subjects?.join(', ') ?? 'all'],
    [
      'cases',
      `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped${wasInterrupted ? ', interrupted' : ''}`,
    ],
    ['VMs of others', `${others.count}, ${others.areUnchanged ? 'as before' : 'some changed'}`],
  ]
}

function capabilityRows({ suite, capabilities }: Findings): string[][] {
  const named = new Set([...capabilities, ...suite.cases.flatMap(({ needs, refused }) => [...needs, ...refused])])
  return [...named]
    .sort()
    .map((capability) => [`\`${capability}\``, ...verdictOn(capability, suite.cases, capabilities)])
}

function verdictOn(
  capability: Capability,
  cases: readonly CaseOutcome[],
  capabilities: ReadonlySet<Capability>,
): [string, string] {
  const reason = leftOut[capability]
  if (reason !== undefined && capabilities.has(capability)) return [`left out: ${reason}`, '']
  const of = (status: CaseOutcome['status']): readonly CaseOutcome[] =>
    cases.filter((one) => one.status === status && [...one.needs, ...one.refused].includes(capability))
  const [failed, passed] = [of('failed').length, of('passed').length]
  if (failed > 0) return ['failed', `${failed} of ${failed + passed}`]
  if (passed > 0) return [capabilities.has(capability) ? 'passed' : 'not offered, as it says', String(passed)]
  const reasons = new Set(of('skipped').map((one) => one.reason))
  return [reasons.size === 0 ? 'not checked' : `skipped: ${[...reasons].join('; ')}`, '']
}

/** Why cases were skipped, and how many. */
function skipped(cases: readonly CaseOutcome[]): string[] {
  const reasons = cases.filter(({ status }) => status === 'skipped').map(({ reason }) => reason)
  if (reasons.length === 0) return []
  const rows = [...new Set(reasons)].map((reason) => `${reasons.filter((one) => one === reason).length}: ${reason}`)
  return ['## Skipped', list(rows)]
}

const cell = (text: string): string => text.replaceAll('|', String.raw`\|`)

function table([heading = [], ...rows]: readonly (readonly string[])[]): string {
  return [heading, heading.map(() => '---'), ...rows].map((row) => `| ${row.map(cell).join(' | ')} |`).join('\n')
}

const list = (lines: readonly string[]): string => lines.map((line) => `- ${line}`).join('\n')
