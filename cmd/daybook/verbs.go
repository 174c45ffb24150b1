package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// group is a verb that only holds others.
func group(use, short string, of ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: none, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(of...)
	return cmd
}

// none takes no arguments.
func none(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return hint(fmt.Errorf("%s knows no verb %q", cmd.CommandPath(), args[0]), cmd.CommandPath()+" --help lists them")
	}
	return hint(fmt.Errorf("%s takes no argument, and got %q", cmd.CommandPath(), args[0]), cmd.CommandPath()+" --help shows examples")
}

// one takes exactly one argument.
func one(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return hint(fmt.Errorf("%s takes one %s, and got %d arguments", cmd.CommandPath(), what, len(args)), cmd.CommandPath()+" --help shows examples")
	}
}

// wrongFlag says where the right ones are listed.
func wrongFlag(cmd *cobra.Command, err error) error {
	return hint(err, cmd.CommandPath()+" --help lists the flags")
}
