import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { missingFile, missingTools } from './optional-tool.js'

/** The Python of Debian's package, which may not be the first one in the path. */
const python = '/usr/bin/python3'

export const missingCloudInit =
  missingTools('cloud-init') ?? missingFile('/usr/lib/python3/dist-packages/cloudinit', 'cloud-init')

/** Throws what cloud-init's own check of its schema says against a cloud config. */
export function checkSchema(cloudConfig: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'awaitvm-cloud-init-'))
  try {
    const path = join(folder, 'user-data')
    writeFileSync(path, cloudConfig)
    execFileSync('cloud-init', ['schema', '--config-file', path], { encoding: 'utf8', stdio: 'pipe' })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const mergedSchema = v.object({ config: v.record(v.string(), v.unknown()), others: v.array(v.string()) })

/** What cloud-init makes of user data: the merged cloud config, and its other parts, such as scripts. */
export const mergeUserData = (userData: string): v.InferOutput<typeof mergedSchema> =>
  v.parse(mergedSchema, JSON.parse(execFileSync(python, ['-c', script], { input: userData, encoding: 'utf8' })))

const script = `
import json, os, sys, tempfile
from cloudinit import helpers, user_data, util
from cloudinit.handlers.cloud_config import CloudConfigPartHandler
from cloudinit.settings import PER_ALWAYS
with tempfile.TemporaryDirectory() as folder:
    paths = helpers.Paths({'cloud_dir': folder, 'run_dir': folder})
    result = os.path.join(folder, 'merged')
    paths.get_ipath = lambda name=None: result
    handler = CloudConfigPartHandler(paths)
    others = []
    handler.handle_part(None, '__begin__', None, None, None, None)
    for part in user_data.UserDataProcessor(paths).process(sys.stdin.buffer.read()).walk():
        if part.get_content_maintype() == 'multipart':
            continue
        content = util.fully_decoded_payload(part)
        if part.get_content_type() == 'text/cloud-config':
            handler.handle_part(None, 'text/cloud-config', 'part', content, PER_ALWAYS, dict(part.items()))
        else:
            others.append(content)
    handler.handle_part(None, '__end__', None, None, None, None)
    with open(result) as merged:
        print(json.dumps({'config': util.load_yaml(merged.read()), 'others': others}))
`
