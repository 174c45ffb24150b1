package node

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"daybook.example/eventstore/log"
	"daybook.example/test/level"
)

// The official client's own tests, from the module cache, run against this node.
// They take half a minute each: `make conformance` runs them, and CI.

const clientModule = "github.com/EventStore/EventStore-Client-Go/v4"

// notHere are the client's tests that this node cannot be put to, with the reason.
// Every other one must pass; one of these that runs all the same must pass too.
var notHere = map[string]string{}

func because(reason string, tests ...string) {
	for _, test := range tests {
		notHere[test] = reason
	}
}

func init() {
	because("needs the original server's data set, whose positions are those of its own files",
		"TestStreams/ReadStreamTests/readStreamEventsForwardsFromZeroPosition",
		"TestStreams/ReadStreamTests/readStreamEventsBackwardsFromEndPosition",
		"TestStreams/SubscriptionTests/streamSubscriptionDeliversAllEventsInStreamAndListensForNewEvents",
		"TestStreams/SubscriptionTests/allSubscriptionWithFilterDeliversCorrectEvents",
		"TestStreams/SubscriptionTests/connectionClosing",
		"TestStreams/SubscriptionTests/subscriptionAllWithCredentialsOverride",
		"TestStreams/SubscriptionTests/subscriptionToStreamCaughtUpMessage",
		"TestPersistentSubscriptions/PersistentSubTests/testPersistentSubscriptionClosing",
	)
	because("the suite itself skips it where nodes are insecure",
		"TestStreams/ReadStreamTests/readStreamWithCredentialsOverride",
		"TestStreams/AppendTests/appendToSystemStreamWithIncorrectCredentials",
	)
}

// notRun compares reads of $all with the same data set, and fails in a cluster of
// its makers' too (TestExpectations); signs in with client certificates, an extension
// that is sold (TestPlugins); runs projections in the server, which this one has
// none of (TestProjections).
const notRun = "^(TestExpectations|TestPlugins|TestProjections)$"

func conformanceLevel(t *testing.T) {
	t.Helper()
	if level.Few() {
		t.Skip("the client's own tests run with make conformance")
	}
}

// The whole suite in the mode that it has for a cluster of three, unmodified.
func TestTheClientsOwnSuiteAgainstACluster(t *testing.T) {
	conformanceLevel(t)
	startCluster(t)
	runSuite(t, moduleFolder(t), "EVENTSTORE_INSECURE=false", "CLUSTER=true")
}

// And in those for a single node. The suite would start one in a container for
// each test: its copy asks this test for one instead, and nothing else is changed.
func TestTheClientsOwnSuiteAgainstSingleNodes(t *testing.T) {
	conformanceLevel(t)
	certificates, err := SelfSigned(filepath.Join(t.TempDir(), "tls"), "localhost", "127.0.0.1")
	require.NoError(t, err)
	copied := copyOfTheSuite(t, certificates)
	for name, secure := range map[string]bool{"insecure": false, "tls": true} {
		t.Run(name, func(t *testing.T) {
			var config *tls.Config
			if secure {
				config = loadTLS(t, certificates)
			}
			nodes := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, conformingNode(t, Options{TLS: config, AllowWrites: config == nil, Listen: "127.0.0.1:0"}).Addr())
			}))
			defer nodes.Close()
			runSuite(t, copied, "EVENTSTORE_INSECURE="+strconv.FormatBool(!secure), "CLUSTER=false", "NODES="+nodes.URL)
		})
	}
}

func conformingNode(t *testing.T, o Options) *Node {
	dir, err := os.MkdirTemp("", "conformance")
	require.NoError(t, err)
	quiet := slog.New(slog.DiscardHandler)
	l, err := log.Open(log.Options{Dir: dir, Logger: quiet, FreeSpaceMin: 1})
	require.NoError(t, err)
	o.Log, o.Password, o.Logger = l, "changeit", quiet
	n, err := Start(o)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = n.Close(ctx)
		require.NoError(t, l.Close())
		require.NoError(t, os.RemoveAll(dir))
	})
	return n
}

func loadTLS(t *testing.T, c Certificates) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

// startCluster starts the node as the leader of three at the addresses that the
// suite dials. The other two know who leads, and nothing else.
func startCluster(t *testing.T) {
	t.Helper()
	ports := []int{2111, 2112, 2113}
	certificates, err := SelfSigned(filepath.Join(t.TempDir(), "tls"), "localhost", "127.0.0.1")
	require.NoError(t, err)
	config := loadTLS(t, certificates)
	all := func(context.Context) (members []*gossip.MemberInfo) {
		for i, port := range ports {
			state := gossip.MemberInfo_Follower
			if i == 0 {
				state = gossip.MemberInfo_Leader
			}
			members = append(members, &gossip.MemberInfo{
				InstanceId: structuredID(uuid.New()), TimeStamp: time.Now().UnixNano() / 100, State: state, IsAlive: true,
				HttpEndPoint: &gossip.EndPoint{Address: "localhost", Port: uint32(port)},
			})
		}
		return members
	}
	for _, port := range ports[1:] {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err, "the client's suite needs the ports 2111 to 2113")
		follower := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, call grpc.ServerStream) error {
			call.SetTrailer(metadata.Pairs(trailerException, "not-leader", "leader-endpoint-host", "localhost", "leader-endpoint-port", strconv.Itoa(ports[0])))
			return status.Error(codes.NotFound, "another node leads")
		}))
		gossip.RegisterGossipServer(follower, &members{all: all})
		serverfeatures.RegisterServerFeaturesServer(follower, features{})
		go func() { _ = follower.Serve(tls.NewListener(listener, overHTTP2(config))) }()
		t.Cleanup(follower.Stop)
	}
	conformingNode(t, Options{TLS: config, Listen: fmt.Sprintf("127.0.0.1:%d", ports[0]), members: all})
}

func moduleFolder(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", clientModule).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// copyOfTheSuite copies the client with its tests, which then ask for their nodes.
func copyOfTheSuite(t *testing.T, c Certificates) string {
	t.Helper()
	dir := t.TempDir()
	from := moduleFolder(t)
	require.NoError(t, filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		require.NoError(t, err)
		to := filepath.Join(dir, relative)
		if entry.IsDir() {
			return os.MkdirAll(to, 0o700)
		}
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		return os.WriteFile(to, content, 0o600)
	}))
	containers := filepath.Join(dir, "esdb", "containers_test.go")
	source, err := os.ReadFile(containers)
	require.NoError(t, err)
	changed := string(source)
	for old, replacement := range map[string]string{
		"func getDatabase(": `func getDatabase(t *testing.T, _ EventStoreDockerConfig, _ testcontainers.ContainerRequest) *Container {
	response, err := http.Get(os.Getenv("NODES"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	address, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(string(address), ":")
	return &Container{Endpoint: "localhost:" + port}
}

func getContainer(`,
		"	timeout := 1 * time.Minute\n": "	return\n	timeout := 1 * time.Minute\n",
		// There is no such data set: as with a cluster, its tests get no client.
		"func createDatabase(t *testing.T, populated bool) (*Container, *esdb.Client) {\n": "func createDatabase(t *testing.T, populated bool) (*Container, *esdb.Client) {\n	if populated {\n		return nil, nil\n	}\n",
		"	\"fmt\"\n": "	\"fmt\"\n	\"io\"\n	\"net/http\"\n",
	} {
		require.Equal(t, 1, strings.Count(changed, old), old)
		changed = strings.Replace(changed, old, replacement, 1)
	}
	require.NoError(t, os.WriteFile(containers, []byte(changed), 0o600))
	stranger, err := SelfSigned(filepath.Join(t.TempDir(), "other"), "localhost")
	require.NoError(t, err)
	for name, file := range map[string]string{
		"ca/ca.crt": c.Authority, "ca/ca.key": c.Key, "node/node.crt": c.Cert, "node/node.key": c.Key, "untrusted-ca/ca.crt": stranger.Authority,
	} {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		path := filepath.Join(dir, "certs", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, content, 0o600))
	}
	return dir
}

// runSuite runs the client's tests in a folder. Those that are not in the list of
// what cannot be run here must pass, not be skipped.
func runSuite(t *testing.T, dir string, env ...string) {
	t.Helper()
	cmd := exec.Command("go", "test", "-count=1", "-json", "-timeout", "10m", "./esdb", "-skip", notRun)
	cmd.Dir = dir
	mod := "-mod=mod"
	if strings.Contains(dir, "@") { // the module cache cannot be written to
		mod = "-mod=readonly"
	}
	// With the flags of this build most of it is compiled already.
	cmd.Env = append(append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" "+mod, "GOWORK=off"), env...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	results, output := readResults(t, out)
	_ = cmd.Wait() // the results tell
	passed, left := 0, map[string][]string{}
	for _, test := range slices.Sorted(maps.Keys(results)) {
		switch results[test] {
		case "pass":
			passed++
		case "skip":
			require.Contains(t, notHere, test, "the test was skipped, and is not among those that may be:\n%s", output[test])
			left[notHere[test]] = append(left[notHere[test]], test)
		default:
			t.Errorf("%s: %s\n%s", test, results[test], output[test])
		}
	}
	require.Greater(t, passed, 50, "the suite did not run")
	t.Logf("%d tests of the client's suite passed", passed)
	for reason, skipped := range left {
		t.Logf("%d left out: %s\n  %s", len(skipped), reason, strings.Join(skipped, "\n  "))
	}
}

// readResults tells how each test ended that has none within.
func readResults(t *testing.T, out io.Reader) (results, output map[string]string) {
	t.Helper()
	results, output = map[string]string{}, map[string]string{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var e struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		switch e.Action {
		case "output":
			output[e.Test] += e.Output
		case "pass", "fail", "skip":
			if e.Test != "" {
				results[e.Test] = e.Action
			}
		}
	}
	for test := range results {
		if parent, _, within := cutLast(test); within && results[parent] == "pass" {
			delete(results, parent)
		}
	}
	if len(results) == 0 {
		t.Fatal("the suite did not start:\n" + output[""])
	}
	return results, output
}

func cutLast(test string) (parent, name string, within bool) {
	i := strings.LastIndex(test, "/")
	if i < 0 {
		return "", test, false
	}
	return test[:i], test[i+1:], true
}
