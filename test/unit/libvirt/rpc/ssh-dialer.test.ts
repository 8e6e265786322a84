import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { addressOf } from '../../../../src/drivers/libvirt/libvirt-uri.js'
import { dialerFor } from '../../../../src/drivers/libvirt/rpc/transports/dialer-for.js'

test('an attempt to connect by ssh ends with its signal', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'awaitvm-ssh-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const command = join(folder, 'ssh')
  // A client that gets no answer; it leaves a shared connection at once.
  await writeFile(command, '#!/bin/sh\ncase "$*" in *"-O exit"*) exit;; esac\nexec sleep 600\n')
  await chmod(command, 0o700)
  const dialer = await dialerFor(addressOf(new URL(`qemu+ssh://host/system?command=${command}`)))
  const stop = new AbortController()
  const dialing = dialer.dial(stop.signal)
  stop.abort(new Error('not wanted any more'))
  await expect(dialing).rejects.toThrow('not wanted any more')
  await dialer.close()
})
