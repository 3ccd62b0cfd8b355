<%@ page contentType="text/plain; charset=UTF-8" %><%
  Thread.sleep(Math.min(10000L, Long.parseLong(request.getParameter("ms"))));
%>done
