import { parallelsHost } from './parallels-profile.js'
import { describeOwnHost } from './own-host.js'

describeOwnHost(parallelsHost('parallels: (Virtuozzo)', 'virtuozzo'))
