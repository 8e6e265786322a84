// Run by vitest on behalf of main.ts: the conformance suite on the host that is checked.
import { inject } from 'vitest'
import { subjects, type Subject } from '../../src/testing/conformance/cases.js'
import { checkAll } from '../../src/testing/conformance/suite.js'
import { setDefaultDeadline } from '../../src/testing/conformance/deadline.js'
import { OwnVmsHost } from './own-vms-host.js'
import { guestTimeoutMs } from './settings.js'

/** Not tested unless it is asked for: eight guests at once and a hundred VMs are too much for somebody's Mac. */
const heavy: Subject = 'many'

function subjectsOf(wanted: readonly string[] | undefined): readonly Subject[] {
  if (wanted === undefined) return subjects.filter((subject) => subject !== heavy)
  return wanted.map((name) => {
    const subject = subjects.find((each) => each === name)
    if (subject === undefined) throw new Error(`There is no subject "${name}", but: ${subjects.join(', ')}`)
    return subject
  })
}

setDefaultDeadline(guestTimeoutMs)
const settings = inject('check')
const host = await OwnVmsHost.make(settings)
checkAll(await host.conformanceHost(), subjectsOf(settings.subjects))
