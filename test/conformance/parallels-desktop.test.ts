import { parallelsHost } from './parallels-profile.js'
import { describeConformance } from './suite.js'

describeConformance(parallelsHost('parallels:', 'desktop'))
