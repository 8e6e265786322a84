import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { createVitest, type Reporter, type TestCase } from 'vitest/node'
import type { CaseOutcome, SuiteOutcome } from './outcome.js'
import { caseTimeoutMs, type CheckSettings } from './settings.js'

const root = join(import.meta.dirname, '../..')

/** Time limit for the end of an interrupted run, in milliseconds. */
const patienceMs = 60_000

/** Longest part of an error in the report, in characters. */
const maxMessage = 400

const notRun = 'it was not run'

const stopSignals = ['SIGINT', 'SIGTERM'] as const

/** Runs the conformance suite on the host of the settings. Calls `onOutcome` after each case. */
export async function runSuite(
  settings: CheckSettings,
  signal: AbortSignal,
  onOutcome: (outcome: CaseOutcome) => void,
): Promise<SuiteOutcome> {
  const cases: CaseOutcome[] = []
  const errors: string[] = []
  const reporter: Reporter = {
    onTestCaseResult(testCase) {
      const outcome = outcomeOf(testCase)
      cases.push(outcome)
      onOutcome(outcome)
    },
    onTestRunEnd(modules, unhandled) {
      errors.push(...[...modules.flatMap((module) => module.errors()), ...unhandled].map(messageOf))
    },
  }
  const ours = stopSignals.map((name) => process.listeners(name))
  const vitest = await createVitest('test', {
    root,
    include: ['test/check/cases.ts'],
    watch: false,
    reporters: [reporter],
    typecheck: { enabled: false },
    coverage: { enabled: false },
    provide: { check: settings },
    testTimeout: caseTimeoutMs,
    hookTimeout: caseTimeoutMs,
    // Ctrl-C would end a separate process at once.
    pool: 'threads',
    maxWorkers: 1,
  })
  // Vitest would end this process at once, with VMs left behind.
  for (const [index, name] of stopSignals.entries()) {
    for (const listener of process.listeners(name))
      if (ours[index]?.includes(listener) !== true) process.off(name, listener)
  }
  try {
    await untilEnd(vitest.start(), signal, () => vitest.cancelCurrentRun('keyboard-input'))
  } finally {
    await vitest.close()
  }
  return { cases, errors }
}

/** Waits for the run, and for a limited time if it is interrupted. */
async function untilEnd(run: Promise<unknown>, signal: AbortSignal, cancel: () => Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const givenUp = new Promise<void>((resolve) => {
    const onAbort = (): void => {
      timer = setTimeout(resolve, patienceMs)
      void cancel()
    }
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
  })
  try {
    await Promise.race([run, givenUp])
  } finally {
    clearTimeout(timer)
  }
}

function outcomeOf(testCase: TestCase): CaseOutcome {
  const result = testCase.result()
  const { needs = [], refused = [] } = testCase.meta()
  const outcome = { title: testCase.fullName.replaceAll(' > ', ' › '), needs, refused }
  switch (result.state) {
    case 'passed':
      return { ...outcome, status: 'passed', reason: '' }
    case 'failed':
      return { ...outcome, status: 'failed', reason: result.errors.map(messageOf).join('; ') }
    case 'skipped':
    case 'pending':
      return { ...outcome, status: 'skipped', reason: (result.state === 'skipped' ? result.note : undefined) ?? notRun }
  }
}

/** The first line of the message: the rest is a stack or a diff. */
const messageOf = ({ message }: { readonly message: string }): string =>
  (stripVTControlCharacters(message).trim().split('\n')[0] ?? '').slice(0, maxMessage)
