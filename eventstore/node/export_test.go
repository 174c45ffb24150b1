package node

func init() { rounds = 1000 }
