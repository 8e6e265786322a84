/** A worker thread of `fork.ts`: has a v86 ready, restores the state that it is sent, and tells when its guest has answered. */
import { once } from 'node:events'
import { parentPort } from 'node:worker_threads'
import { emptyDebianV86 } from './support/debian-v86.js'
import { question, answerTo } from './support/question.js'

if (parentPort === null) throw new Error('This is a worker thread')
const v86 = await emptyDebianV86()
parentPort.postMessage('ready')
const [state] = (await once(parentPort, 'message')) as [Uint8Array<SharedArrayBuffer>]
// v86 takes no memory that is shared.
await v86.restore_state(state.slice().buffer)
let output = ''
v86.add_listener('serial0-output-byte', (byte) => {
  output += String.fromCharCode(byte)
  if (output.includes(answerTo('v86'))) parentPort?.postMessage('answered')
})
void v86.run()
v86.serial0_send(question('v86'))
