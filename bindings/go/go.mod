module duoguard

go 1.19
