import { connect } from 'awaitvm'
import { expect, test } from 'vitest'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'

test.each([
  ['embedded:///srv/vms?x=1', '"x"', 'has no options'],
  ['qmp:///srv/vms?acel=tcg', '"acel"', 'accel'],
  ['qmp:///srv/vms?accel=tcg&accel=kvm', '"accel" more than once', 'accel'],
  ['parallels:?prlctll=x', '"prlctll"', 'prlctl, queryTimeoutMs'],
])('an option of %s that is not known is named, with those that are', async (uri, named, hint) => {
  const error = await failureOf(connect(uri), 'INVALID_ARGUMENT')
  expect(error).toMatchObject({ path: 'uri' })
  expect(error.message).toContain(named)
  expect(error.hint).toContain(hint)
})
