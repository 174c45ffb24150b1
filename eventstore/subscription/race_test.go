//go:build race

package subscription_test

const underRace = true
