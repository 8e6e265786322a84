import { connect } from 'awaitvm'
import { expect, test } from 'vitest'
import { addressOf } from '../../../src/drivers/parallels/uri.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'

test('the options of a URI', () => {
  const defaults = {
    prlctl: 'prlctl',
    queryTimeoutMs: 60_000,
    changeTimeoutMs: 600_000,
    listEveryMs: 10_000,
    sshConfig: undefined,
  }
  expect(addressOf(new URL('parallels:'))).toEqual({ ...defaults, ssh: undefined })
  expect(addressOf(new URL('parallels:?prlctl=/a%20b/prlctl&queryTimeoutMs=5'))).toMatchObject({
    prlctl: '/a b/prlctl',
    queryTimeoutMs: 5,
  })
  expect(addressOf(new URL('parallels+ssh://me@mac.local:2222'))).toEqual({
    ...defaults,
    ssh: { host: 'mac.local', user: 'me', port: 2222 },
  })
  expect(addressOf(new URL('parallels+ssh://[::1]/')).ssh).toMatchObject({ host: '::1', user: undefined })
})

test.each([
  'parallels://mac',
  'parallels:/x',
  'parallels:?password=x',
  'parallels:?queryTimeoutMs=soon',
  'parallels:?prlctl=',
  'parallels:#x',
  'parallels+ssh:',
  'parallels+ssh://me:secret@mac',
  'parallels+ssh://-oProxyCommand=x',
  'parallels+ssh://-x@mac',
  'parallels+ssh://mac/vms',
  'parallels+ssh://me%@mac',
  'parallels+ssh://ma%c',
])('%s ends with INVALID_ARGUMENT, and shows no secret', async (uri) => {
  const error = await failureOf(connect(uri), 'INVALID_ARGUMENT')
  expect(error.path).toBe('uri')
  expect(error.message).not.toContain('secret')
})

test('a missing prlctl', async () => {
  const error = await failureOf(connect('parallels:?prlctl=/nowhere/prlctl'), 'HOST_TOOL_NOT_FOUND')
  expect(error.hint).toContain('parallels:?prlctl=')
})
