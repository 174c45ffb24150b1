package company

// Names are put together at random: nobody real is meant.
var (
	givenNames = []string{
		"Ada", "Amir", "Anja", "Benno", "Carla", "Chidi", "Dana", "Emil", "Esra", "Femke", "Finn", "Greta", "Hanna", "Henk",
		"Ida", "Ilja", "Jan", "Jule", "Kaan", "Katja", "Lena", "Levi", "Mara", "Milan", "Nele", "Noor", "Olga", "Omar", "Paula",
		"Piet", "Rana", "Rolf", "Sanne", "Sven", "Tara", "Timo", "Uli", "Vera", "Wim", "Yara",
	}
	familyNames = []string{
		"Abel", "Ahrens", "Arslan", "Bakker", "Becker", "Behrens", "Bruns", "Busch", "Claas", "Cordes", "Demir", "Dirks", "Ebers",
		"Engel", "Evers", "Fink", "Frese", "Gerdes", "Graf", "Haase", "Harms", "Hinrichs", "Ibrahim", "Jansen", "Kaya", "Keller",
		"Kramer", "Kruse", "Lange", "Lorenz", "Lüders", "Mertens", "Meyer", "Moor", "Nagel", "Nowak", "Okafor", "Otten", "Pauls",
		"Petersen", "Quast", "Rabe", "Reimers", "Ritter", "Sander", "Schütte", "Siems", "Stahl", "Tamm", "Thiele", "Timm", "Ulrich",
		"Visser", "Vogt", "Wagner", "Wessels", "Winter", "Yilmaz", "Zander", "Ziegler",
	}
	streets = []string{"Birkenweg", "Hafenstraße", "Lindenallee", "Mühlenkamp", "Am Wall", "Weserblick"}
	titles  = map[string][]string{
		"Executive":   {"Managing director"},
		"People":      {"HR partner", "Recruiter", "Payroll clerk"},
		"Finance":     {"Accountant", "Controller", "Treasury analyst"},
		"Sales":       {"Sales representative", "Key account manager", "Sales assistant"},
		"Operations":  {"Planner", "Buyer", "Dispatcher"},
		"Warehouse":   {"Warehouse clerk", "Forklift driver", "Stock controller"},
		"Engineering": {"Frame builder", "Mechanical engineer", "Test engineer"},
		"Support":     {"Support agent", "Workshop adviser"},
	}
)
