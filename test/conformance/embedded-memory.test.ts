import { connect } from 'awaitvm'
import { embeddedProfile } from './embedded-profile.js'
import { describeOwnHost } from './own-host.js'

describeOwnHost({
  ...embeddedProfile,
  name: 'embedded:',
  keepsVms: false,
  async open(options) {
    return {
      server: await connect('embedded:', options).unwrap(),
      dispose: () => Promise.resolve([]),
    }
  },
})
