package subscription

// ForgetAtSeams plants the fault that the tests of a feed must find: an event is
// left out where a subscription begins to share.
func (f *Feed) ForgetAtSeams() { f.forgotten = 1 }

// MessageOf is an event as an EventSubscriber would deliver it.
var MessageOf = messageOf
