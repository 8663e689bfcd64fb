update s.wide set n = n where id < 50; vacuum s.wide;
update s.wide set id = 7.00, n = round(n,5)::text::numeric where id = 7;
update s.wide set f = '-0' where id = 0; update s.wide set p = row(id*1.00, (p).y)::s.pair where id=8;
update s.wide set arr = array[9.000,null,1.5] where id=9; update s.wide set i = '1 mon' where id = 30;
update s.wide set j = jsonb_build_object('a', 11.000, 'b', array[1.00,11]) where id=11;
update s.wide set a = 12.0 , r = '[12.00,13.5000)', mr='{[12.0,13.00)}' where id=12;
