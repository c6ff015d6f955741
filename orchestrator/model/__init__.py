"""Values that the layers share: changesets, states, events, records, commands."""
