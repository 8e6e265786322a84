export * from '../../src/testing/conformance/open-resources.js'
