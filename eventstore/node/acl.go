package node

import "encoding/json"

// An acl is an access list as it stands in metadata and settings: for each
// action a role or a list of roles.
type acl map[action]json.RawMessage

// accessList reads the list under a key of some JSON. What is none says nothing.
func accessList(data []byte, key string) (list acl) {
	var keys map[string]json.RawMessage
	if json.Unmarshal(data, &keys) != nil {
		return nil
	}
	_ = json.Unmarshal(keys[key], &list) // nil when it is none
	return list
}

// roles says who may do something, if the list speaks of it.
func (a acl) roles(do action) (roles []string, ok bool) {
	raw, ok := a[do]
	if !ok || string(raw) == "null" {
		return nil, false
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, true
	}
	// A list that cannot be read gives nobody the right.
	_ = json.Unmarshal(raw, &roles)
	return roles, true
}
