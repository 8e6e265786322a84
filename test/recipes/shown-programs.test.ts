import { expect, test } from 'vitest'
import { markdownOf, partOf, shownFiles } from './shown-programs.js'

test.each(shownFiles)('the README of the recipes shows %s as it is', async (file) => {
  expect((await partOf(file).read())?.trim()).toBe(markdownOf(file))
})
