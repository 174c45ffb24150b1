package edge

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/domain/access"
)

func TestAServerListensDrainsAndStops(t *testing.T) {
	t.Parallel()
	s := newStand(t, Limits{})
	Register(s.api, Operation{Method: http.MethodGet, Path: "/v1/endless", Action: ReadEvents, Stream: true, Answers: []string{"text/event-stream"}},
		func(context.Context, *struct{}) (*Streamed, error) {
			return Streaming(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusOK)
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}), nil
		})
	server, err := Listen(s.api, Listening{Address: "127.0.0.1:0"})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- server.Serve() }()
	_, err = Listen(s.api, Listening{Address: server.listener.Addr().String()})
	require.ErrorContains(t, err, "--listen")

	r, err := http.NewRequest(http.MethodGet, server.URL()+"/v1/endless", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+s.tokens[access.Admin])
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, 200, response.StatusCode)

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	require.NoError(t, server.Close(ctx), "an open stream must not hold up the end")
	require.NoError(t, <-done)
}

func TestPlaintextStaysOnTheMachineUnlessTheRiskIsAccepted(t *testing.T) {
	t.Parallel()
	api := NewAPI(Options{Tokens: NewTokens()})
	_, err := Listen(api, Listening{Address: "0.0.0.0:0"})
	require.ErrorContains(t, err, "--insecure-listen")
	server, err := Listen(api, Listening{Address: "0.0.0.0:0", Insecure: true})
	require.NoError(t, err)
	require.NoError(t, server.Close(context.Background()))
	_, err = Listen(api, Listening{Address: "127.0.0.1:0", CertFile: "missing.pem", KeyFile: "missing.pem"})
	require.ErrorContains(t, err, "--tls-cert")
	_, err = Listen(api, Listening{Address: "no-such-host.invalid:1"})
	require.ErrorContains(t, err, "--listen")
}

func TestOnlyLoopbackAddressesAreLoopback(t *testing.T) {
	t.Parallel()
	require.True(t, loopback(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}))
	require.True(t, loopback(&net.TCPAddr{IP: net.IPv6loopback}))
	require.False(t, loopback(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}))
	require.False(t, loopback(&net.UnixAddr{}))
}
