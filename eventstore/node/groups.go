package node

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"

	"daybook.example/eventstore/log"
)

const (
	groupsStream  = "$persistentSubscriptionConfig"
	groupsType    = "$PersistentConfig"
	groupsVersion = "2"
	groupsMax     = 1000 // persistent subscriptions of one node
	storeMax      = 10 * time.Second
)

// groups are the persistent subscriptions of one node: how each is set stands in
// one stream, how far each has come in one of its own.
type groups struct {
	persistent.UnimplementedPersistentSubscriptionsServer
	service *service

	mu      sync.Mutex // also while a change is being stored
	running map[groupKey]*group
}

// A groupKey names a persistent subscription.
type groupKey struct{ Stream, Group string }

func (k groupKey) String() string { return k.Stream + "::" + k.Group }

func (k groupKey) checkpoints() string {
	return "$persistentsubscription-" + k.String() + "-checkpoint"
}
func (k groupKey) parked() string { return "$persistentsubscription-" + k.String() + "-parked" }

// storedGroups is the event that says how all of them are set.
type storedGroups struct {
	Version string        `json:"version"`
	Updated time.Time     `json:"updated"`
	By      string        `json:"updatedBy"`
	Entries []storedGroup `json:"entries"`
}

type storedGroup struct {
	Stream string `json:"stream"`
	Group  string `json:"group"`
	settings
}

func openGroups(s *service) (*groups, error) {
	g := &groups{service: s}
	ctx, cancel := context.WithTimeout(context.Background(), storeMax)
	defer cancel()
	return g, g.load(ctx)
}

// load starts what is stored.
func (g *groups) load(ctx context.Context) error {
	data, err := g.service.newest(ctx, groupsStream)
	if err != nil {
		return fmt.Errorf("read the persistent subscriptions: %w", err)
	}
	var stored storedGroups
	if len(data) > 0 {
		if err := json.Unmarshal(data, &stored); err != nil {
			return fmt.Errorf("the persistent subscriptions in the stream %s cannot be read: %w", groupsStream, err)
		}
	}
	running := make(map[groupKey]*group, len(stored.Entries))
	for _, entry := range stored.Entries {
		key := groupKey{entry.Stream, entry.Group}
		if running[key], err = startGroup(ctx, g.service, key, entry.settings); err != nil {
			for _, started := range running {
				started.stop(nil)
			}
			return err
		}
	}
	g.running = running
	return nil
}

// save stores how all are set after a change; without the one that is nil.
func (g *groups) save(ctx context.Context, key groupKey, changed *settings) error {
	next := storedGroups{Version: groupsVersion, Updated: time.Now().UTC(), By: principalOf(ctx).login}
	for k, each := range g.running {
		if k != key {
			next.Entries = append(next.Entries, storedGroup{k.Stream, k.Group, each.settings})
		}
	}
	if changed != nil {
		next.Entries = append(next.Entries, storedGroup{key.Stream, key.Group, *changed})
	}
	slices.SortFunc(next.Entries, func(a, b storedGroup) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Group, b.Group))
	})
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if _, err = put(ctx, g.service.log, groupsStream, groupsType, data); err != nil {
		return g.service.failure(ctx, groupsStream, err)
	}
	return nil
}

// Create makes a persistent subscription.
func (g *groups) Create(ctx context.Context, request *persistent.CreateReq) (*persistent.CreateResp, error) {
	key, set, err := g.created(ctx, request.GetOptions())
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running[key] != nil {
		return nil, groupExists(ctx, key)
	}
	if len(g.running) >= groupsMax {
		return nil, groupFailed(ctx, key, fmt.Sprintf("a node has at most %d persistent subscriptions: delete some first", groupsMax))
	}
	if err := g.save(ctx, key, &set); err != nil {
		return nil, err
	}
	started, err := startGroup(ctx, g.service, key, set)
	if err != nil {
		return nil, g.service.failure(ctx, key.Stream, err)
	}
	g.running[key] = started
	return &persistent.CreateResp{}, nil
}

// created checks a request to make one. One from the end begins behind what is
// there now, also when it is first read from after a restart.
func (g *groups) created(ctx context.Context, o *persistent.CreateReq_Options) (key groupKey, set settings, err error) {
	if err := g.service.mayManage(ctx); err != nil {
		return key, set, err
	}
	if key, set, err = parseCreate(ctx, o); err != nil {
		return key, set, err
	}
	g.begin(key, &set)
	return key, set, nil
}

func (g *groups) begin(key groupKey, set *settings) {
	if set.fromEnd() {
		set.Begin = g.service.endOf(key.Stream)
	}
}

// endOf is the revision or position that the next event of a stream will be behind.
func (s *service) endOf(stream string) uint64 {
	if stream == allStreams {
		return s.log.Head() + 1
	}
	return uint64(s.log.Stream(stream).Head + 1)
}

// Update sets a persistent subscription anew and drops its consumers, who come
// again. How far it has come stays.
func (g *groups) Update(ctx context.Context, request *persistent.UpdateReq) (*persistent.UpdateResp, error) {
	if err := g.service.mayManage(ctx); err != nil {
		return nil, err
	}
	key, set, err := parseUpdate(ctx, request.GetOptions())
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.running[key]
	if old == nil {
		return nil, groupMissing(ctx, key)
	}
	g.begin(key, &set)
	set.Filter = old.settings.Filter
	if err := g.save(ctx, key, &set); err != nil {
		return nil, err
	}
	old.stop(groupDropped)
	if g.running[key], err = startGroup(ctx, g.service, key, set); err != nil {
		delete(g.running, key)
		return nil, g.service.failure(ctx, key.Stream, err)
	}
	return &persistent.UpdateResp{}, nil
}

// Delete removes a persistent subscription with all that it has noted down.
func (g *groups) Delete(ctx context.Context, request *persistent.DeleteReq) (*persistent.DeleteResp, error) {
	if err := g.service.mayManage(ctx); err != nil {
		return nil, err
	}
	key, err := keyOf(request.GetOptions(), request.GetOptions().GetAll() != nil)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.running[key]
	if old == nil {
		return nil, groupMissing(ctx, key)
	}
	if err := g.save(ctx, key, nil); err != nil {
		return nil, err
	}
	delete(g.running, key)
	old.stop(groupMissing)
	for _, stream := range []string{key.checkpoints(), key.parked()} {
		if g.service.log.Stream(stream).Exists {
			if _, err := g.service.log.Delete(ctx, stream, log.Any); err != nil {
				return nil, g.service.failure(ctx, stream, err)
			}
		}
	}
	return &persistent.DeleteResp{}, nil
}

// ReplayParked sends what was parked once more.
func (g *groups) ReplayParked(ctx context.Context, request *persistent.ReplayParkedReq) (*persistent.ReplayParkedResp, error) {
	if err := g.service.mayManage(ctx); err != nil {
		return nil, err
	}
	o := request.GetOptions()
	found, err := g.named(ctx, o, o.GetAll() != nil)
	if err != nil {
		return nil, err
	}
	stop := g.service.log.Stream(found.key.parked()).Head + 1
	if limit, ok := o.GetStopAtOption().(*persistent.ReplayParkedReq_Options_StopAt); ok {
		if limit.StopAt < 0 {
			return nil, invalid("a replay stops at a revision of the parked messages, which is not negative")
		}
		stop = min(stop, limit.StopAt)
	}
	found.replay(stop)
	return &persistent.ReplayParkedResp{}, nil
}

// GetInfo tells how a persistent subscription is set and how far it has come.
func (g *groups) GetInfo(ctx context.Context, request *persistent.GetInfoReq) (*persistent.GetInfoResp, error) {
	o := request.GetOptions()
	found, err := g.named(ctx, o, o.GetAll() != nil)
	if err != nil {
		return nil, err
	}
	if err := g.mayLook(ctx); err != nil {
		return nil, err
	}
	return &persistent.GetInfoResp{SubscriptionInfo: found.info()}, nil
}

// List tells the same of all, or of those to one stream.
func (g *groups) List(ctx context.Context, request *persistent.ListReq) (*persistent.ListResp, error) {
	if err := g.mayLook(ctx); err != nil {
		return nil, err
	}
	of := request.GetOptions().GetListForStream()
	if of == nil && request.GetOptions().GetListAllSubscriptions() == nil {
		return nil, invalid("a list is of all persistent subscriptions or of those to one stream")
	}
	stream := allStreams
	if of != nil && of.GetAll() == nil {
		var err error
		if stream, err = streamName(of.GetStream()); err != nil {
			return nil, err
		}
	}
	response := &persistent.ListResp{}
	for _, each := range g.sorted() {
		if of == nil || each.key.Stream == stream {
			response.Subscriptions = append(response.Subscriptions, each.info())
		}
	}
	if of != nil && len(response.Subscriptions) == 0 {
		return nil, groupMissing(ctx, groupKey{stream, ""})
	}
	return response, nil
}

func (g *groups) mayLook(ctx context.Context) error {
	if who := principalOf(ctx); who.reader || who.owner || who.login != "" {
		return nil
	}
	return g.service.may(ctx, reading, allStreams)
}

func (g *groups) sorted() []*group {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*group, 0, len(g.running))
	for _, each := range g.running {
		all = append(all, each)
	}
	slices.SortFunc(all, func(a, b *group) int { return cmp.Compare(a.key.String(), b.key.String()) })
	return all
}

// RestartSubsystem drops every consumer and begins anew from what is stored.
func (g *groups) RestartSubsystem(ctx context.Context, _ *shared.Empty) (*shared.Empty, error) {
	if err := g.service.mayManage(ctx); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, each := range g.running {
		each.stop(groupDropped)
	}
	if err := g.load(ctx); err != nil {
		return nil, g.service.failure(ctx, groupsStream, err)
	}
	return empty, nil
}

// named finds the one that a request names.
func (g *groups) named(ctx context.Context, o groupOptions, all bool) (*group, error) {
	key, err := keyOf(o, all)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if found := g.running[key]; found != nil {
		return found, nil
	}
	return nil, groupMissing(ctx, key)
}

// groupOptions is what requests about a persistent subscription share.
type groupOptions interface {
	GetStreamIdentifier() *shared.StreamIdentifier
	GetGroupName() string
}

func keyOf(o groupOptions, all bool) (key groupKey, err error) {
	key = groupKey{allStreams, o.GetGroupName()}
	if key.Group == "" {
		return key, invalid("a persistent subscription has a group name")
	}
	if !all {
		key.Stream, err = streamName(o.GetStreamIdentifier())
	}
	return key, err
}

func (g *groups) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, each := range g.running {
		each.stop(nil)
	}
}
