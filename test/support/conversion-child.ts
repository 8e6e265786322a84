// Makes a VM of an image in a process of its own, and tells what it waits for.
import { connect } from '../../src/index.js'

const [uri = '', image = ''] = process.argv.slice(2)
await using server = await connect(uri).unwrap()
const job = server.createVm({ name: 'web-1', disks: [{ image }] })
job.onProgress(({ phase = '' }) => {
  if (phase.startsWith('waiting')) console.log('waiting')
})
const result = await job
console.log(result.isOk() ? `done ${result.value.config.disks[0]?.image ?? ''}` : `failed ${result.error.message}`)
