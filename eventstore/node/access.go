package node

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"daybook.example/eventstore/log"
)

// Roles that the event store gives a meaning.
const (
	everyone   = "$all"    // in an access list: whoever has shown who they are
	admins     = "$admins" // may do everything
	operators  = "$ops"    // may manage persistent subscriptions
	adminLogin = "admin"
	opsLogin   = "ops"
)

// A principal is who makes a call.
type principal struct {
	login  string // "" for nobody in particular
	groups []string
	owner  bool // of the unix socket, or anybody where that is allowed: may do everything
	reader bool // over the plaintext port: may read everything and change nothing
}

func (p principal) admin() bool {
	return p.owner || p.login == adminLogin || slices.Contains(p.groups, admins)
}

// holds tells whether one of the roles of an access list is theirs.
func (p principal) holds(roles []string) bool {
	for _, role := range roles {
		if role == everyone && p.login != "" || role == p.login && role != "" || slices.Contains(p.groups, role) {
			return true
		}
	}
	return false
}

type principalKey struct{}

func principalOf(ctx context.Context) principal {
	p, _ := ctx.Value(principalKey{}).(principal) // nobody, who may do nothing
	return p
}

// identify finds out who calls. What no one vouches for is nobody; credentials
// that are wrong are refused.
func (s *service) identify(ctx context.Context) (context.Context, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	return context.WithValue(ctx, principalKey{}, who), nil
}

func (s *service) caller(ctx context.Context) (principal, error) {
	if p, ok := peer.FromContext(ctx); ok && p.Addr.Network() == "unix" {
		return principal{owner: true}, nil
	}
	if !s.secure {
		return principal{owner: s.allowWrites, reader: !s.allowWrites}, nil
	}
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) == 0 {
		return principal{}, nil
	}
	login, password, ok := basicAuthentication(values[0])
	if !ok {
		return principal{}, status.Error(codes.Unauthenticated, "this node takes basic authentication")
	}
	who, err := s.users.verify(ctx, login, password)
	if errors.Is(err, errCredentials) {
		return principal{}, status.Error(codes.Unauthenticated, "no such user with this password")
	}
	if err != nil {
		return principal{}, s.failure(ctx, UserStream(login), err)
	}
	return who, nil
}

func basicAuthentication(header string) (login, password string, ok bool) {
	scheme, encoded, _ := strings.Cut(header, " ")
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	return strings.Cut(string(text), ":")
}

// interceptors put who calls into the context of every call, also of methods
// that are added one day: what asks for no principal gets nobody.
func (s *service) interceptors() []grpc.ServerOption {
	unary := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		ctx, err := s.identify(ctx)
		if err != nil {
			return nil, err
		}
		return handle(ctx, request)
	}
	stream := func(server any, call grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		ctx, err := s.identify(call.Context())
		if err != nil {
			if info.FullMethod == streams.Streams_Append_FullMethodName {
				linger(call)
			}
			return err
		}
		return handle(server, identified{call, ctx})
	}
	return []grpc.ServerOption{grpc.UnaryInterceptor(unary), grpc.StreamInterceptor(stream)}
}

type identified struct {
	grpc.ServerStream
	ctx context.Context
}

func (i identified) Context() context.Context { return i.ctx }

// An action is what somebody wants to do with a stream, by its key in an access list.
type action string

const (
	reading  action = "$r"
	writing  action = "$w"
	deleting action = "$d"
)

// ofMetadata is the action on a stream that the same one on its metadata is.
func (a action) ofMetadata() action {
	if a == reading {
		return "$mr"
	}
	return "$mw"
}

// may refuses what the caller may not do with a stream.
func (s *service) may(ctx context.Context, do action, stream string) error {
	denial, err := s.denies(ctx, do, stream)
	if err != nil {
		return s.failure(ctx, stream, err)
	}
	if denial != "" {
		return accessDenied(ctx, denial)
	}
	return nil
}

// denies says why the caller may not do something with a stream, "" if they may.
func (s *service) denies(ctx context.Context, do action, stream string) (denial string, err error) {
	who := principalOf(ctx)
	switch {
	case do != reading && (stream == allStreams || strings.HasPrefix(stream, metadataOfMetadata)):
		return "nothing can be written to $all, nor to the metadata of metadata", nil
	case who.admin(), who.reader && do == reading:
		return "", nil
	case who.reader:
		return "this node takes writes over its unix socket only; TLS with users opens its port to those who may, --node-allow-writes to everyone", nil
	case who.login == "":
		return "this node asks for the name and password of a user", nil
	}
	if original, ok := strings.CutPrefix(stream, metadataPrefix); ok {
		do, stream = do.ofMetadata(), original
	}
	roles, err := s.rolesFor(ctx, do, stream)
	if err == nil && !who.holds(roles) {
		denial = "the stream's access list gives this user no such right"
	}
	return denial, err
}

// rolesFor finds who may do something with a stream: its own access list says
// so, else that for streams of its kind, else the event store's custom.
func (s *service) rolesFor(ctx context.Context, do action, stream string) ([]string, error) {
	own, err := s.newest(ctx, metadataPrefix+stream)
	if err != nil {
		return nil, err
	}
	if roles, ok := accessList(own, "$acl").roles(do); ok {
		return roles, nil
	}
	kind, custom := "$userStreamAcl", everyone
	if strings.HasPrefix(stream, "$") {
		kind, custom = "$systemStreamAcl", admins
	}
	settings, err := s.newest(ctx, "$settings")
	if err != nil {
		return nil, err
	}
	if roles, ok := accessList(settings, kind).roles(do); ok {
		return roles, nil
	}
	return []string{custom}, nil
}

// newest is the data of a stream's last event, nil if it has none.
func (s *service) newest(ctx context.Context, stream string) ([]byte, error) {
	last, err := s.log.ReadStream(ctx, stream, lastRevision, log.Backwards, 1)
	if err != nil || len(last) == 0 {
		return nil, err
	}
	event, err := last[0].Decode()
	return event.GetData(), err
}

// mayManage keeps persistent subscriptions to those who run the event store.
func (s *service) mayManage(ctx context.Context) error {
	who := principalOf(ctx)
	if who.admin() || who.login == opsLogin || slices.Contains(who.groups, operators) {
		return nil
	}
	if who.reader {
		return s.may(ctx, writing, allStreams)
	}
	return accessDenied(ctx, "only "+admins+" and "+operators+" manage persistent subscriptions")
}
