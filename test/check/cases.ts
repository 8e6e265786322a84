// Run by vitest on behalf of main.ts: the conformance suite on the host that is checked.
import { inject } from 'vitest'
import { allCases } from '../../src/testing/conformance/cases.js'
import { checkAll } from '../../src/testing/conformance/suite.js'
import { setDefaultDeadline } from '../../src/testing/conformance/deadline.js'
import { OwnVmsHost } from './own-vms-host.js'
import { guestTimeoutMs } from './settings.js'

/** Eight guests at once, and a hundred VMs, are too much for somebody's Mac unless they are asked for. */
const heavy = ['many']

function subjectsOf(wanted: readonly string[] | undefined): readonly string[] {
  const all = Object.keys(allCases)
  const unknown = wanted?.find((subject) => !all.includes(subject))
  if (unknown !== undefined) throw new Error(`There is no subject "${unknown}", but: ${all.join(', ')}`)
  return wanted ?? all.filter((subject) => !heavy.includes(subject))
}

setDefaultDeadline(guestTimeoutMs)
const settings = inject('check')
const subjects = subjectsOf(settings.subjects)
const host = await OwnVmsHost.make(settings)
checkAll(await host.conformanceHost(), subjects)
