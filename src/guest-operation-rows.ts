import { inGuest, onGuestFile, type OperationSpec } from './operation-spec.js'

const from = ['running'] as const

/** The rows of the table of operations for what is done in a guest. */
export const guestOperationRows = {
  'guest.exec': {
    phrase: 'run a program in',
    answers: 'program',
    isJob: true,
    isCancelable: true,
    from,
    errors: [...inGuest, 'PROGRAM_FAILED'],
  },
  'guest.readFile': {
    phrase: 'read a file of',
    answers: 'nothing',
    isQuery: true,
    isCancelable: true,
    from,
    errors: onGuestFile,
  },
  'guest.writeFile': { phrase: 'write a file of', answers: 'nothing', isCancelable: true, from, errors: onGuestFile },
  'guest.readdir': { phrase: 'list a folder of', answers: 'entries', isQuery: true, from, errors: onGuestFile },
  'guest.stat': { phrase: 'look at a file of', answers: 'stats', isQuery: true, from, errors: onGuestFile },
  'guest.mkdir': { phrase: 'make a folder in', answers: 'nothing', from, errors: onGuestFile },
  'guest.rm': { phrase: 'remove a file of', answers: 'nothing', from, errors: onGuestFile },
  'guest.rename': { phrase: 'rename a file of', answers: 'nothing', from, errors: onGuestFile },
  'guest.copyIn': { phrase: 'copy files into', answers: 'nothing', isCancelable: true, from, errors: onGuestFile },
  'guest.copyOut': { phrase: 'copy files out of', answers: 'nothing', isCancelable: true, from, errors: onGuestFile },
  'guest.getInfo': {
    phrase: 'get information about the guest of',
    answers: 'guestInfo',
    isQuery: true,
    from,
    errors: inGuest,
  },
  'guest.waitUntilReady': {
    phrase: 'wait for the guest of',
    answers: 'nothing',
    isQuery: true,
    isCancelable: true,
    from,
    errors: inGuest,
  },
  'guest.waitForPort': {
    phrase: 'wait for a port of',
    answers: 'nothing',
    isQuery: true,
    isCancelable: true,
    from,
    errors: inGuest,
  },
  'guest.getNetworkAddresses': {
    phrase: 'get the network addresses of',
    answers: 'addresses',
    isQuery: true,
    from,
    errors: inGuest,
  },
} as const satisfies Record<string, OperationSpec>
