package main

import "github.com/spf13/cobra"

func (m *Main) node() *cobra.Command {
	return group("node", "Check, inspect, back up and restore the log of the embedded event store",
		m.nodeUsers())
}
