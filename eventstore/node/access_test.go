package node_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"daybook.example/eventstore/node"
)

// secured is a node whose port speaks TLS and asks for users.
func secured(t testing.TB) (s *server, caFile string) {
	t.Helper()
	files, err := node.SelfSigned(t.TempDir(), "localhost", "127.0.0.1")
	require.NoError(t, err)
	certificate, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	require.NoError(t, err)
	return start(t, func(o *node.Options) {
		o.TLS, o.Password = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, "changeit"
	}), files.Authority
}

// as is the official client over TLS, as a user.
func (s *server) as(credentials, caFile string) *esdb.Client {
	s.t.Helper()
	config, err := esdb.ParseConnectionString("esdb://" + credentials + s.node.Addr() + "?tls=true&maxDiscoverAttempts=3&tlsCAFile=" + caFile)
	require.NoError(s.t, err)
	config.Logger = esdb.NoopLogging()
	c, err := esdb.NewClient(config)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// addUser adds a user as the program does it, over the unix socket.
func addUser(t testing.TB, c *esdb.Client, u node.User, password string) {
	t.Helper()
	var err error
	u.Password, err = node.NewPassword(password)
	require.NoError(t, err)
	data, err := u.Encode()
	require.NoError(t, err)
	appendTo(t.(*testing.T), c, node.UserStream(u.Login), esdb.Any{}, event(node.UserCreated, string(data)))
}

func setMetadata(t testing.TB, c *esdb.Client, stream string, acl map[string]any) {
	t.Helper()
	data, err := json.Marshal(map[string]any{"$acl": acl})
	require.NoError(t, err)
	appendTo(t.(*testing.T), c, "$$"+stream, esdb.Any{}, event("$metadata", string(data)))
}

func readOnce(c *esdb.Client, stream string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	read, err := c.ReadStream(ctx, stream, esdb.ReadStreamOptions{}, 1)
	if err != nil {
		return err
	}
	defer read.Close()
	_, err = read.Recv()
	return err
}

func writeOnce(c *esdb.Client, stream string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, events(1)...)
	return err
}

func TestOverTLSUsersMayDoWhatAccessListsSay(t *testing.T) {
	t.Parallel()
	s, ca := secured(t)
	socket := s.client()
	addUser(t, socket, node.User{Login: "ann", Groups: []string{"clerks"}}, "s3cret")
	addUser(t, socket, node.User{Login: "bob"}, "s3cret")
	addUser(t, socket, node.User{Login: "eve", Disabled: true}, "s3cret")
	appendTo(t, socket, "open", esdb.NoStream{}, events(1)...)
	appendTo(t, socket, "closed", esdb.NoStream{}, events(1)...)
	setMetadata(t, socket, "closed", map[string]any{"$r": []string{"clerks"}, "$w": "bob", "$mr": "bob", "$mw": []string{}})

	admin, ops, ann, bob, nobody := s.as("admin:changeit@", ca), s.as("ops:changeit@", ca), s.as("ann:s3cret@", ca), s.as("bob:s3cret@", ca), s.as("", ca)
	denied, allowed := esdb.ErrorCodeAccessDenied, esdb.ErrorCode(-1)
	for name, cell := range map[string]struct {
		do   func() error
		want esdb.ErrorCode
	}{
		"admin reads a system stream":      {func() error { return readOnce(admin, "$users") }, allowed},
		"admin reads a closed stream":      {func() error { return readOnce(admin, "closed") }, allowed},
		"admin writes a closed stream":     {func() error { return writeOnce(admin, "closed") }, allowed},
		"admin writes to $all":             {func() error { return writeOnce(admin, "$all") }, denied},
		"ann reads an open stream":         {func() error { return readOnce(ann, "open") }, allowed},
		"ann writes an open stream":        {func() error { return writeOnce(ann, "open") }, allowed},
		"ann reads one of her group":       {func() error { return readOnce(ann, "closed") }, allowed},
		"ann writes bob's":                 {func() error { return writeOnce(ann, "closed") }, denied},
		"ann reads its metadata":           {func() error { return readOnce(ann, "$$closed") }, denied},
		"bob reads the group's":            {func() error { return readOnce(bob, "closed") }, denied},
		"bob writes his":                   {func() error { return writeOnce(bob, "closed") }, allowed},
		"bob reads its metadata":           {func() error { return readOnce(bob, "$$closed") }, allowed},
		"bob writes its metadata":          {func() error { return writeOnce(bob, "$$closed") }, denied},
		"ann reads the users":              {func() error { return readOnce(ann, "$users") }, denied},
		"ann writes a user":                {func() error { return writeOnce(ann, "$user-ann") }, denied},
		"ann reads everything":             {func() error { return readAllOnce(ann) }, denied},
		"admin reads everything":           {func() error { return readAllOnce(admin) }, allowed},
		"nobody reads an open stream":      {func() error { return readOnce(nobody, "open") }, denied},
		"nobody writes an open stream":     {func() error { return writeOnce(nobody, "open") }, denied},
		"a wrong password":                 {func() error { return readOnce(s.as("ann:wrong@", ca), "open") }, esdb.ErrorCodeUnauthenticated},
		"nobody of that name":              {func() error { return readOnce(s.as("zoe:s3cret@", ca), "open") }, esdb.ErrorCodeUnauthenticated},
		"a disabled user":                  {func() error { return readOnce(s.as("eve:s3cret@", ca), "open") }, esdb.ErrorCodeUnauthenticated},
		"ann makes a group":                {func() error { return makeGroup(ann, "a") }, denied},
		"ops make a group":                 {func() error { return makeGroup(ops, "b") }, allowed},
		"ops read what only a group may":   {func() error { return readOnce(ops, "closed") }, denied},
		"a certificate nobody vouches for": {func() error { return readOnce(s.as("admin:changeit@", otherAuthority(t)), "open") }, esdb.ErrorCodeConnectionClosed},
	} {
		err := cell.do()
		if cell.want == allowed {
			require.NoError(t, err, name)
			continue
		}
		require.Error(t, err, name)
		if cell.want != esdb.ErrorCodeConnectionClosed {
			require.Equal(t, cell.want, codeOf(t, err), name)
		}
	}
}

func otherAuthority(t testing.TB) string {
	files, err := node.SelfSigned(t.TempDir(), "localhost")
	require.NoError(t, err)
	return files.Authority
}

func makeGroup(c *esdb.Client, group string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return c.CreatePersistentSubscription(ctx, "open", group, esdb.PersistentStreamSubscriptionOptions{})
}

func readAllOnce(c *esdb.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	read, err := c.ReadAll(ctx, esdb.ReadAllOptions{}, 1)
	if err != nil {
		return err
	}
	defer read.Close()
	_, err = read.Recv()
	return err
}

func TestSettingsSayWhatStreamsWithoutAListAllow(t *testing.T) {
	t.Parallel()
	s, ca := secured(t)
	socket := s.client()
	addUser(t, socket, node.User{Login: "ann", Groups: []string{"clerks"}}, "s3cret")
	appendTo(t, socket, "open", esdb.NoStream{}, events(1)...)
	ann := s.as("ann:s3cret@", ca)
	require.NoError(t, readOnce(ann, "open"))
	appendTo(t, socket, "$settings", esdb.NoStream{}, event("update-default-acl",
		`{"$userStreamAcl":{"$r":["$admins"],"$w":"$all"},"$systemStreamAcl":{"$r":"clerks"}}`))
	require.Equal(t, esdb.ErrorCodeAccessDenied, codeOf(t, readOnce(ann, "open")))
	require.NoError(t, writeOnce(ann, "open"))
	require.NoError(t, readOnce(ann, "$settings"))
	require.Equal(t, esdb.ErrorCodeAccessDenied, codeOf(t, writeOnce(ann, "$settings")))
}

// A subscription ends when its owner loses the right to read; a password counts
// until it is changed.
func TestRightsEndAtOnce(t *testing.T) {
	t.Parallel()
	s, ca := secured(t)
	socket := s.client()
	addUser(t, socket, node.User{Login: "ann"}, "s3cret")
	appendTo(t, socket, "open", esdb.NoStream{}, events(1)...)
	ann := s.as("ann:s3cret@", ca)
	subscription := subscribe(t, ann, "open", esdb.Start{})
	require.Equal(t, []string{"0", "caught up"}, tellAll(t, subscription, 2))
	setMetadata(t, socket, "open", map[string]any{"$r": "bob"})
	appendTo(t, socket, "open", esdb.Any{}, events(1)...)
	dropped := subscription.Recv().SubscriptionDropped
	require.NotNil(t, dropped)

	require.NoError(t, writeOnce(ann, "open"))
	addUser(t, socket, node.User{Login: "ann"}, "another")
	require.Equal(t, esdb.ErrorCodeUnauthenticated, codeOf(t, writeOnce(ann, "open")))
	require.NoError(t, writeOnce(s.as("ann:another@", ca), "open"))
}

// given a client with a wrong password that is still sending, when it is refused, then it learns why
func TestAnAppendWithAWrongPasswordIsToldSo(t *testing.T) {
	t.Parallel()
	s, ca := secured(t)
	stranger := s.as("admin:wrong@", ca)
	large := `"` + strings.Repeat("x", 100_000) + `"` // more than is sent ahead of whoever reads it
	for range 3 {
		_, err := stranger.AppendToStream(within(t), "s", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}},
			event("thing-happened", large), event("thing-happened", large), event("thing-happened", large))
		require.Error(t, err)
		require.Equal(t, esdb.ErrorCodeUnauthenticated, codeOf(t, err), err)
	}
}

func TestANodeWithTLSAsksForItsFirstUsers(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, err := node.Start(node.Options{Log: s.log, Listen: "127.0.0.1:0", TLS: &tls.Config{MinVersion: tls.VersionTLS12}})
	require.ErrorContains(t, err, "give the password that the first ones, admin and ops, shall have")
}

func TestAUserHasAPlainLogin(t *testing.T) {
	t.Parallel()
	for _, login := range []string{"", "a:b", "$admins", "a b", fmt.Sprintf("%0101d", 0)} {
		_, err := node.User{Login: login}.Encode()
		require.Error(t, err, login)
	}
}

// What was made once is used again: clients have been told to trust it.
func TestSelfMadeCertificatesStay(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tls")
	first, err := node.SelfSigned(dir, "localhost")
	require.NoError(t, err)
	again, err := node.SelfSigned(dir, "localhost")
	require.NoError(t, err)
	require.Equal(t, first, again)
	one, err := tls.LoadX509KeyPair(first.Cert, first.Key)
	require.NoError(t, err)
	require.NotEmpty(t, one.Certificate)
}

// Also one that is still catching up reads no further than it may.
func TestARightThatIsLostWhileCatchingUpEndsTheReading(t *testing.T) {
	t.Parallel()
	s, ca := secured(t)
	socket := s.client()
	addUser(t, socket, node.User{Login: "ann"}, "s3cret")
	const all = 40
	for range all {
		appendTo(t, socket, "open", esdb.Any{}, event("t", string(make([]byte, 500_000))))
	}
	subscription := subscribe(t, s.as("ann:s3cret@", ca), "open", esdb.Start{})
	require.Equal(t, "0", tell(t, subscription))
	setMetadata(t, socket, "open", map[string]any{"$r": "bob"})
	for range all {
		if dropped := subscription.Recv().SubscriptionDropped; dropped != nil {
			require.Equal(t, codes.PermissionDenied, status.Code(dropped.Error))
			return
		}
	}
	t.Fatal("everything was read")
}

// So does the consuming of a persistent subscription.
func TestARightThatIsLostEndsTheConsuming(t *testing.T) {
	t.Parallel()
	s, ca := secured(t)
	socket := s.client()
	addUser(t, socket, node.User{Login: "ann"}, "s3cret")
	const before = 10
	for range before {
		appendTo(t, socket, "open", esdb.Any{}, event("t", string(make([]byte, 500_000))))
	}
	createGroup(t, socket, "open", "group", nil)
	k := take(t, s.as("ann:s3cret@", ca), "open", "group", 100)
	require.Zero(t, k.next().Event.OriginalEvent().EventNumber)

	// When she loses the right, with slots left for what is appended then
	setMetadata(t, socket, "open", map[string]any{"$r": "bob"})
	appendTo(t, socket, "open", esdb.Any{}, events(1)...)

	// Then she gets what is on its way, and no more
	select {
	case err := <-k.dropped:
		require.Equal(t, codes.PermissionDenied, status.Code(err))
	case <-time.After(time.Minute):
		require.Fail(t, "the consuming goes on")
	}
	require.Less(t, len(k.events), before)
}
