import { cancelling } from './cases/cancelling.js'
import { cloneWithMemory } from './cases/clone-with-memory.js'
import { clone } from './cases/clone.js'
import { close } from './cases/close.js'
import { connectAndInfo } from './cases/connect-and-info.js'
import { connections } from './cases/connections.js'
import { consoleCases } from './cases/console.js'
import { crash } from './cases/crash.js'
import { createAndValidate } from './cases/create-and-validate.js'
import { deleteCases } from './cases/delete.js'
import { edit } from './cases/edit.js'
import { editDisks } from './cases/edit-disks.js'
import { ephemeral } from './cases/ephemeral.js'
import { events } from './cases/events.js'
import { exportDisk } from './cases/export-disk.js'
import { guestAgent } from './cases/guest-agent.js'
import { guestFileCopies } from './cases/guest-file-copies.js'
import { guestFiles } from './cases/guest-files.js'
import { guestFolderCopies } from './cases/guest-folder-copies.js'
import { guestHostile } from './cases/guest-hostile.js'
import { guestInput } from './cases/guest-input.js'
import { guestInterruptions } from './cases/guest-interruptions.js'
import { guestJobs } from './cases/guest-jobs.js'
import { guestLiveOutput } from './cases/guest-live-output.js'
import { guestPrograms } from './cases/guest-programs.js'
import { guestReady } from './cases/guest-ready.js'
import { guestSignals } from './cases/guest-signals.js'
import { guestTerminals } from './cases/guest-terminals.js'
import { imageCache } from './cases/image-cache.js'
import { images } from './cases/images.js'
import { inputThatIsWrong } from './cases/input-that-is-wrong.js'
import { jobs } from './cases/jobs.js'
import { lifecycle } from './cases/lifecycle.js'
import { lookup } from './cases/lookup.js'
import { many } from './cases/many.js'
import { mediaDrives } from './cases/media-drives.js'
import { migrate } from './cases/migrate.js'
import { nativeCommands } from './cases/native-commands.js'
import { networkAdapters } from './cases/network-adapters.js'
import { notFound } from './cases/not-found.js'
import { screenAndKeys } from './cases/screen-and-keys.js'
import { settings } from './cases/settings.js'
import { shutdown } from './cases/shutdown.js'
import { snapshots } from './cases/snapshots.js'
import { stateChanges } from './cases/state-changes.js'
import { statesAndErrors } from './cases/states-and-errors.js'
import { statistics } from './cases/statistics.js'
import { suspendAndResume } from './cases/suspend-and-resume.js'
import type { Cases } from './case.js'

/** A subject of the conformance suite: what its cases are about. */
export type Subject =
  | 'connect and info'
  | 'lookup'
  | 'create and validate'
  | 'settings'
  | 'input that is wrong'
  | 'lifecycle'
  | 'shutdown'
  | 'state changes'
  | 'states and errors'
  | 'not found'
  | 'suspend and resume'
  | 'snapshots'
  | 'clone'
  | 'clone with memory'
  | 'export disk'
  | 'edit'
  | 'edit disks'
  | 'images'
  | 'media drives'
  | 'image cache'
  | 'network adapters'
  | 'delete'
  | 'ephemeral'
  | 'console'
  | 'screen and keys'
  | 'statistics'
  | 'native commands'
  | 'events'
  | 'jobs'
  | 'cancelling'
  | 'many'
  | 'crash'
  | 'guest agent'
  | 'guest programs'
  | 'guest live output'
  | 'guest input'
  | 'guest signals'
  | 'guest terminals'
  | 'guest jobs'
  | 'guest interruptions'
  | 'guest files'
  | 'guest file copies'
  | 'guest folder copies'
  | 'guest hostile'
  | 'guest ready'
  | 'migrate'
  | 'connections'
  | 'close'

/** Every case, by its subject. */
export const allCases: Readonly<Record<Subject, Cases>> = {
  'connect and info': connectAndInfo,
  lookup,
  'create and validate': createAndValidate,
  settings,
  'input that is wrong': inputThatIsWrong,
  lifecycle,
  shutdown,
  'state changes': stateChanges,
  'states and errors': statesAndErrors,
  'not found': notFound,
  'suspend and resume': suspendAndResume,
  snapshots,
  clone,
  'clone with memory': cloneWithMemory,
  'export disk': exportDisk,
  edit,
  'edit disks': editDisks,
  images,
  'media drives': mediaDrives,
  'image cache': imageCache,
  'network adapters': networkAdapters,
  delete: deleteCases,
  ephemeral,
  console: consoleCases,
  'screen and keys': screenAndKeys,
  statistics,
  'native commands': nativeCommands,
  events,
  jobs,
  cancelling,
  many,
  crash,
  'guest agent': guestAgent,
  'guest programs': guestPrograms,
  'guest live output': guestLiveOutput,
  'guest input': guestInput,
  'guest signals': guestSignals,
  'guest terminals': guestTerminals,
  'guest jobs': guestJobs,
  'guest interruptions': guestInterruptions,
  'guest files': guestFiles,
  'guest file copies': guestFileCopies,
  'guest folder copies': guestFolderCopies,
  'guest hostile': guestHostile,
  'guest ready': guestReady,
  migrate,
  connections,
  close,
}

/** All subjects, in the order in which they are tested. */
export const subjects = Object.keys(allCases) as readonly Subject[]
