import { expect, test } from 'vitest'
import { tableIn } from '../support/readme-part.js'
import { operationTable, operationTablePart } from './operation-table.js'

test('the chapter on jobs shows the table of operations as it is', async () => {
  const expected = operationTable().map((line) => line.map((cell) => cell.replaceAll('`', '')))
  expect(tableIn((await operationTablePart.read()) ?? '')).toEqual(expected)
})
